package app

import (
	"encoding/json"
	"fmt"

	"github.com/tillwatch/tillwatch/internal/service"
)

type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run prints the build.
func (c *versionCommand) Run(p Process) error {
	v := service.Version()
	if c.JSON {
		return json.NewEncoder(p.Stdout).Encode(v)
	}
	_, err := fmt.Fprintln(p.Stdout, "tillwatch", v)
	return err
}
