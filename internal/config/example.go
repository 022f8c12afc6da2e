package config

import (
	"bytes"
	_ "embed"
)

//go:embed example.yaml
var example []byte

// Example returns a commented configuration file that states every key: the defaults, and one acquirer, a1.
func Example() []byte { return bytes.Clone(example) }
