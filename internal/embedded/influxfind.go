package embedded

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrNoInfluxd says that no influxd was named and none is on PATH.
var ErrNoInfluxd = errors.New("influxd was not found on PATH")

// FindInfluxd returns the influxd at path or, when path is empty, the one on PATH, and its version. A path that holds
// no influxd of 1.8 or 2.x is an error that says what it holds.
func FindInfluxd(ctx context.Context, path string) (bin, version string, err error) {
	name := path
	if name == "" {
		name = "influxd"
	}
	bin, err = exec.LookPath(name)
	if err != nil {
		if path == "" {
			return "", "", ErrNoInfluxd
		}
		return "", "", fmt.Errorf("find influxd: %w", err)
	}
	version, err = InfluxdVersion(ctx, bin)
	if err != nil {
		return "", "", err
	}
	if _, err := influxdMajor(version); err != nil {
		return "", "", fmt.Errorf("%s: %w", bin, err)
	}
	return bin, version, nil
}

// InfluxdVersion runs `influxd version` and returns what it says: "v1.8.10", "v2.9.1", or a word such as "dev".
func InfluxdVersion(ctx context.Context, bin string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "version") // #nosec G204 -- the binary that will be run
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		return "", fmt.Errorf("%s version: %w: %s", bin, err, said)
	}
	m := versionLine.FindStringSubmatch(said)
	if m == nil {
		return "", fmt.Errorf("%s version: %q is not what influxd says", bin, said)
	}
	// A 2.x that was built without its number calls itself dev, and only 2.x tells the date.
	if m[1] == "dev" && strings.Contains(said, "build_date") {
		return "v2-dev", nil
	}
	return m[1], nil
}

var versionLine = regexp.MustCompile(`^InfluxDB (\S+) \(git: `)

var versionNumbers = regexp.MustCompile(`^v?(\d+)[.-](\d+|dev)`)

// influxdMajor returns 1 or 2, and an error for what Tillwatch does not run on.
func influxdMajor(version string) (int, error) {
	m := versionNumbers.FindStringSubmatch(version)
	if m == nil {
		return 0, fmt.Errorf("influxd %q has no version number: want 1.8 or 2.x", version)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if major == 1 && minor >= 8 || major == 2 {
		return major, nil
	}
	return 0, fmt.Errorf("influxd %s is too old or too new: want 1.8 or 2.x", version)
}
