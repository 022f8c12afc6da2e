package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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
  tillwatch health --config tillwatch.yaml --timeout 1s
  tillwatch health --metrics-addr 127.0.0.1:9465 --json`
}

var errNotReady = errors.New("not ready")

// maxHealth bounds what is read as a service's answer, in bytes.
const maxHealth = 1 << 20

// Run asks /readyz once.
func (c *healthCommand) Run(ctx context.Context, p Process) error {
	addr, err := c.address()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	url := "http://" + addr + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A client of its own: the service is asked itself, never through the proxy that the environment may name.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no service answers: %w; start it, or name its address with --metrics-addr (`tillwatch up` writes it to endpoints.json)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	var d service.Document
	if err := json.Unmarshal(body, &d); err != nil || d.Status == "" {
		return fmt.Errorf("%s is not a service of Tillwatch (status %d); name its address with --metrics-addr", url, resp.StatusCode)
	}
	ready := resp.StatusCode == http.StatusOK
	if c.JSON {
		_, err = p.Stdout.Write(body)
	} else {
		_, err = io.WriteString(p.Stdout, told(d, ready))
	}
	if err == nil && !ready {
		err = errNotReady
	}
	return err
}

// address is where the service answers. Only that is taken of the configuration: its secrets and the files that it
// names are the service's, and need not be at hand where its health is asked.
func (c *healthCommand) address() (string, error) {
	cfg := config.Default()
	if c.Config != "" {
		var err error
		if cfg, err = config.Load(c.Config); err != nil {
			return "", err
		}
	}
	if err := (config.Overrides{MetricsAddr: c.MetricsAddr}).Apply(cfg); err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(cfg.MetricsAddr)
	if err != nil {
		return "", err
	}
	if strings.Trim(port, "0") == "" {
		return "", fmt.Errorf("metrics address %s: the service takes a free port; its log says which, name it with --metrics-addr", cfg.MetricsAddr)
	}
	switch ip := net.ParseIP(host); { // what listens everywhere is asked on this machine
	case host == "", ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// told is the document for people: everything that fails with what to do, and "ready".
func told(d service.Document, ready bool) string {
	var b strings.Builder
	for _, name := range d.Wedged {
		fmt.Fprintf(&b, "%s: the loop no longer turns (wedged)\n  restart the service\n", name)
	}
	for _, r := range d.Conditions {
		if r.State == service.StateOK {
			continue
		}
		fmt.Fprintf(&b, "%s: %s (%s)\n", r.Name, r.Title, r.State)
		if r.ExplainedBy != "" {
			fmt.Fprintf(&b, "  explained by %s\n", r.ExplainedBy)
		}
		for _, line := range []string{r.Error, r.Hint} {
			if line != "" {
				fmt.Fprintf(&b, "  %s\n", line)
			}
		}
	}
	if ready {
		b.WriteString("ready\n")
	}
	return b.String()
}
