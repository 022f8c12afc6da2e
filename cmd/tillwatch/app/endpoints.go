package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// endpoints is what `up` writes to DIR/endpoints.json: where everything listens now. Other programs read it.
type endpoints struct {
	PID     int    `json:"pid"`
	NATS    string `json:"nats"`
	Influx  string `json:"influx"`
	Org     string `json:"influx_org,omitempty"`
	Metrics string `json:"metrics"`
}

// announce writes the endpoints, whole or not at all, and says where everything is.
func (m *machine) announce() error {
	e := endpoints{PID: os.Getpid(), NATS: m.s.NATS.URL, Influx: m.s.Influx.URL, Metrics: "http://" + m.f.server.Addr()}
	if m.s.Influx.Token != "" {
		e.Org = m.s.Influx.Org
	}
	raw, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(m.dir, "endpoints.json")
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	fmt.Fprintf(m.p.Stdout, `Tillwatch is up. Data is in %s
  NATS       %s
  InfluxDB   %s
  metrics    %s/metrics  (/healthz, /readyz)
`, m.dir, e.NATS, e.Influx, e.Metrics)
	return nil
}
