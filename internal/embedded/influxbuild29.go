package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// makeInflux29 builds a copy of the module, because its replaces make `go install` refuse it. The Flux library inside
// it is written in Rust, pins an old toolchain and denies warnings, which newer compilers have more of; so the
// installed stable toolchain is named, and a wrapper around rustc caps lints at warnings (RUSTFLAGS would not reach
// the build scripts' own dependencies).
func makeInflux29(ctx context.Context, work, out string, run *runner) error {
	tool, err := goTool()
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("cargo"); err != nil {
		return fmt.Errorf("%w on PATH: install Rust (https://rustup.rs)", ErrNoRust)
	}
	toolchain, err := rustToolchain(ctx, run)
	if err != nil {
		return err
	}

	src := filepath.Join(work, "src")
	if err := copyModule(ctx, run, tool, work, src); err != nil {
		return err
	}
	bin := filepath.Join(work, "bin")
	if err := run.command(ctx, work, goEnv("GOBIN="+bin), tool, "install", "github.com/influxdata/pkg-config@v0.3.0"); err != nil {
		return err
	}
	wrapper := filepath.Join(work, "rustc-wrapper")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexec \"$@\" --cap-lints warn\n"), 0o700); err != nil { // #nosec G306 -- cargo executes it
		return err
	}
	env := goEnv("CGO_ENABLED=1", "PKG_CONFIG="+filepath.Join(bin, exeName("pkg-config")), "RUSTC_WRAPPER="+wrapper)
	if toolchain != "" {
		env = append(env, "RUSTUP_TOOLCHAIN="+toolchain)
	}
	return run.command(ctx, src, env, tool, "build", "-v", "-tags", "sqlite_foreign_keys,sqlite_json,noassets",
		"-ldflags", "-X main.version=v"+Influx29Version, "-o", out, "./cmd/influxd")
}

// copyModule downloads the module and makes a writable copy of it.
func copyModule(ctx context.Context, run *runner, tool, work, dst string) error {
	b, err := run.output(ctx, work, goEnv(), tool, "mod", "download", "-json", "github.com/influxdata/influxdb/v2@v"+Influx29Version)
	if err != nil {
		return err
	}
	var module struct{ Dir, Error string }
	if err := json.Unmarshal(b, &module); err != nil {
		return fmt.Errorf("go mod download: %w", err)
	}
	if module.Dir == "" {
		return fmt.Errorf("go mod download: %s", module.Error)
	}
	if err := os.CopyFS(dst, os.DirFS(module.Dir)); err != nil {
		return fmt.Errorf("copy module: %w", err)
	}
	// The module cache is read-only, and the build of Flux writes beside its sources.
	return filepath.WalkDir(dst, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()|0o200)
	})
}

// rustToolchain names the installed stable toolchain; "" where cargo was installed without rustup and has only one.
func rustToolchain(ctx context.Context, run *runner) (string, error) {
	rustup, err := exec.LookPath("rustup")
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	list, err := run.output(ctx, "", os.Environ(), rustup, "toolchain", "list")
	if err != nil {
		return "", err
	}
	name := stableToolchain(string(list))
	if name == "" {
		return "", fmt.Errorf("%w for a stable toolchain: run rustup toolchain install stable", ErrNoRust)
	}
	return name, nil
}

// stableToolchain reads the answer of `rustup toolchain list`: one name a line, then remarks in brackets. The default
// wins among stable ones; without a stable one the newest numbered release is taken.
func stableToolchain(list string) string {
	var stable, numbered []string
	for line := range strings.Lines(list) {
		name, remarks, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasPrefix(name, "stable") && strings.Contains(remarks, "default"):
			return name
		case strings.HasPrefix(name, "stable"):
			stable = append(stable, name)
		case name != "" && name[0] >= '1' && name[0] <= '9':
			numbered = append(numbered, name)
		}
	}
	if len(stable) > 0 {
		return stable[0]
	}
	if len(numbered) == 0 {
		return ""
	}
	return slices.MaxFunc(numbered, func(a, b string) int { return slices.Compare(release(a), release(b)) })
}

// release reads the numbers of 1.95.0-x86_64-unknown-linux-gnu.
func release(name string) []int {
	version, _, _ := strings.Cut(name, "-")
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n := 0
		_, _ = fmt.Sscanf(part, "%d", &n)
		numbers = append(numbers, n)
	}
	return numbers
}
