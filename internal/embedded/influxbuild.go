package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The versions of InfluxDB that are built: 1.8 is what `up` runs, 2.9 what production runs and tests therefore run too.
const (
	Influx18Version = "1.8.10"
	Influx29Version = "2.9.1"
)

// What a build needs and may not find. Each is wrapped with what to do about it.
var (
	ErrNoGo   = errors.New("the go tool was not found")
	ErrNoRust = errors.New("cargo was not found")
)

// BuildOptions say where a server is built and who is told.
type BuildOptions struct {
	// CacheDir holds the binaries. Empty: tillwatch under the user's cache directory (os.UserCacheDir).
	CacheDir string
	// Progress is called with one line at a time while a build goes on, from one goroutine. Nil: nobody is told. It is
	// not called when the binary is in the cache already.
	Progress func(line string)
	// Logger is told of a finished build. Nil: nothing is logged.
	Logger *slog.Logger
}

// recipe is how one version is built.
type recipe struct {
	version  string
	estimate string
	// make builds the binary at the path out; work is an empty directory that is removed afterwards.
	make func(ctx context.Context, work, out string, run *runner) error
}

// BuildInflux18 returns the path of an influxd 1.8.10, which it builds from its Go module unless it is in the cache.
// That takes about a minute on two cores and needs the go tool and, the first time, the network.
func BuildInflux18(ctx context.Context, o BuildOptions) (string, error) {
	return build(ctx, o, recipe{version: Influx18Version, estimate: "about a minute", make: makeInflux18})
}

// BuildInflux29 returns the path of an influxd 2.9.1, which it builds unless it is in the cache. That takes about four
// minutes on two cores and needs cargo and a C compiler besides the go tool; without cargo the error is ErrNoRust.
func BuildInflux29(ctx context.Context, o BuildOptions) (string, error) {
	return build(ctx, o, recipe{version: Influx29Version, estimate: "about four minutes", make: makeInflux29})
}

func build(ctx context.Context, o BuildOptions, r recipe) (string, error) {
	if o.CacheDir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("build influxd: %w", err)
		}
		o.CacheDir = filepath.Join(base, "tillwatch")
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	dir := filepath.Join(o.CacheDir, "influxd-"+r.version, runtime.GOOS+"-"+runtime.GOARCH)
	bin := filepath.Join(dir, exeName("influxd"))
	if isFile(bin) { // it was renamed into place, so it is whole
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"), func() {
		o.Progress(fmt.Sprintf("influxd %s: another process is building it; waiting", r.version))
	})
	if err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	defer unlock()
	if isFile(bin) {
		return bin, nil
	}

	began := time.Now()
	o.Progress(fmt.Sprintf("influxd %s: building it once for this user (%s) into %s", r.version, r.estimate, dir))
	// Inside dir, so that the rename stays on one file system. What a killed build left behind is swept here.
	if err := sweep(dir); err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	defer func() { _ = removeAll(work) }()
	out := filepath.Join(work, "out", exeName("influxd"))
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	run := &runner{name: "influxd " + r.version, progress: o.Progress, began: began}
	if err := r.make(ctx, work, out, run); err != nil {
		return "", fmt.Errorf("build influxd %s: %w; a ready-made influxd can be used instead with --influxd PATH", r.version, err)
	}
	found, err := InfluxdVersion(ctx, out)
	if err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	if strings.TrimPrefix(found, "v") != r.version {
		return "", fmt.Errorf("build influxd %s: the binary says that it is %s", r.version, found)
	}
	if err := os.Rename(out, bin); err != nil {
		return "", fmt.Errorf("build influxd %s: %w", r.version, err)
	}
	took := time.Since(began).Round(time.Second)
	o.Progress(fmt.Sprintf("influxd %s: ready after %s", r.version, took))
	o.Logger.Info("influxd built", "version", r.version, "path", bin, "took", took)
	return bin, nil
}

func sweep(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "build-*"))
	for _, d := range old {
		err = errors.Join(err, removeAll(d))
	}
	return err
}

// removeAll removes a tree that may hold read-only folders, as copies of modules do.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o755) // #nosec G302 -- a folder of our own, about to be removed
		}
		return nil
	})
	return os.RemoveAll(dir)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func exeName(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// goTool is the go tool on PATH, or that of the installation this program was built with.
func goTool() (string, error) {
	if path, err := exec.LookPath("go"); err == nil {
		return path, nil
	}
	if root := os.Getenv("GOROOT"); root != "" {
		if path := filepath.Join(root, "bin", exeName("go")); isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w on PATH: install Go (https://go.dev/dl)", ErrNoGo)
}

// goEnv is the environment of a go command that builds for this machine, whatever module or workspace this process
// was started in.
func goEnv(extra ...string) []string {
	drop := []string{"GOOS", "GOARCH", "GOBIN", "GOFLAGS", "GOWORK", "GO111MODULE", "GOROOT", "CARGO_TARGET_DIR", "RUSTFLAGS"}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, name)
	})
	return append(append(env, "GOFLAGS=-buildvcs=false", "GOWORK=off"), extra...)
}

// makeInflux18 is one go install: its module has no replaces, so nothing is copied.
func makeInflux18(ctx context.Context, work, out string, run *runner) error {
	tool, err := goTool()
	if err != nil {
		return err
	}
	return run.command(ctx, work, goEnv("GOBIN="+filepath.Dir(out)), tool, "install", "-v",
		"-ldflags", "-X main.version="+Influx18Version, "github.com/influxdata/influxdb/cmd/influxd@v"+Influx18Version)
}
