package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/service"
)

type healthCommand struct {
	Config      string        `placeholder:"FILE" type:"path" help:"Configuration file that names the address (YAML)."`
	MetricsAddr *string       `placeholder:"HOST:PORT" help:"Where the service answers (127.0.0.1:9464)."`
	Timeout     time.Duration `default:"3s" help:"How long to wait for the answer."`
	JSON        bool          `help:"Print the service's own answer."`
}

// Help is shown below the flags.
func (c *healthCommand) Help() string {
	return `Exit code 0: ready. 1: not ready, or no answer.

Examples:
  tillwatch health
  tillwatch health --metrics-addr 127.0.0.1:9465 --json`
}

var errNotReady = errors.New("not ready")

// Run asks /readyz once.
func (c *healthCommand) Run(ctx context.Context, p Process) error {
	s, err := load(c.Config, config.Overrides{MetricsAddr: c.MetricsAddr}, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	url := "http://" + s.MetricsAddr + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no service answers: %w; is it running, and is its metrics address %s?", err, s.MetricsAddr)
	}
	defer resp.Body.Close()
	var d service.Document
	if err := json.NewDecoder(resp.Body).Decode(&d); err != nil || d.Status == "" {
		return fmt.Errorf("%s is not a service of Tillwatch (status %d)", url, resp.StatusCode)
	}
	if c.JSON {
		if err := json.NewEncoder(p.Stdout).Encode(d); err != nil {
			return err
		}
	} else {
		for _, r := range d.Conditions {
			if r.State != service.StateOK {
				fmt.Fprintf(p.Stdout, "%s: %s (%s)\n", r.Name, r.Title, r.State)
				if r.Error != "" {
					fmt.Fprintf(p.Stdout, "  %s\n", r.Error)
				}
				if r.Hint != "" {
					fmt.Fprintf(p.Stdout, "  %s\n", r.Hint)
				}
			}
		}
	}
	if resp.StatusCode != http.StatusOK {
		return errNotReady
	}
	if !c.JSON {
		fmt.Fprintln(p.Stdout, "ready")
	}
	return nil
}
