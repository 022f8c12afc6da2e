package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// script writes an executable shell script.
func script(t *testing.T, path, body string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// claims is a script that says it is an influxd of that version.
func claims(t *testing.T, path, version string) string {
	t.Helper()
	return script(t, path, "echo 'InfluxDB "+version+" (git: unknown unknown)'")
}

// Of many builds at once one builds; the others wait and find its binary, and a later one finds it too.
func TestBuildsOnce(t *testing.T) {
	cache := t.TempDir()
	var builds, waited atomic.Int32
	r := recipe{version: "9.9.9", estimate: "an instant", make: func(_ context.Context, work, out string, _ *runner) error {
		if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 0 {
			t.Errorf("the build's folder holds %v", left)
		}
		if builds.Add(1) == 1 {
			// Holds the lock until somebody waits for it.
			for waited.Load() == 0 {
				runtime.Gosched()
			}
		}
		claims(t, out, "v9.9.9")
		return nil
	}}
	// What a killed build left.
	dir := filepath.Join(cache, "influxd-9.9.9", runtime.GOOS+"-"+runtime.GOARCH)
	left := filepath.Join(dir, "build-123", "src")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(left, 0o500); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	paths := make([]string, 5)
	for i := range paths {
		group.Go(func() {
			progress := func(line string) {
				if strings.Contains(line, "waiting") {
					waited.Add(1)
				}
			}
			var err error
			if paths[i], err = build(t.Context(), BuildOptions{CacheDir: cache, Progress: progress}, r); err != nil {
				t.Errorf("build: %v", err)
			}
		})
	}
	group.Wait()
	if builds.Load() != 1 || waited.Load() == 0 {
		t.Errorf("%d builds, %d waited; want 1 and some", builds.Load(), waited.Load())
	}
	for _, p := range paths {
		if p != filepath.Join(dir, "influxd") {
			t.Errorf("path %q", p)
		}
	}
	again, err := build(t.Context(), BuildOptions{CacheDir: cache, Progress: func(s string) { t.Errorf("progress %q for a binary that is there", s) }}, r)
	if err != nil || again != paths[0] || builds.Load() != 1 {
		t.Errorf("a later build: %q, %v, %d builds", again, err, builds.Load())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"influxd", "lock"}) {
		t.Errorf("the cache holds %v, want the binary and the lock", names)
	}
}

// A build that fails, or makes something else, leaves no binary, and its error says what else can be done.
func TestFailedBuildLeavesNothing(t *testing.T) {
	for name, make := range map[string]func(out string, run *runner) error{
		"command fails": func(_ string, run *runner) error {
			return run.command(t.Context(), "", nil, "/bin/sh", "-c", "echo one; echo 'dial tcp: lookup h: no such host' >&2; exit 3")
		},
		"another version": func(out string, _ *runner) error { claims(t, out, "v1.7.0"); return nil },
		"no influxd":      func(out string, _ *runner) error { script(t, out, "echo hello"); return nil },
		"nothing":         func(string, *runner) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			path, err := build(t.Context(), BuildOptions{CacheDir: cache}, recipe{version: "9.9.9", make: func(_ context.Context, _, out string, run *runner) error {
				return make(out, run)
			}})
			if err == nil || path != "" {
				t.Fatalf("built %q, %v", path, err)
			}
			if name == "command fails" {
				for _, want := range []string{"exit status 3", "no such host", "GOPROXY", "--influxd PATH"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error does not say %q: %v", want, err)
					}
				}
			}
			if found, _ := filepath.Glob(filepath.Join(cache, "*", "*", "*")); len(found) != 1 {
				t.Errorf("the cache holds %v, want the lock alone", found)
			}
		})
	}
}

func TestBuildWaitsNoLongerThanItsContext(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "influxd-9.9.9", runtime.GOOS+"-"+runtime.GOARCH)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lockFile(t.Context(), filepath.Join(dir, "lock"), func() { t.Error("nobody has the lock") })
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = build(ctx, BuildOptions{CacheDir: cache, Progress: func(string) { cancel() }}, recipe{version: "9.9.9", make: func(context.Context, string, string, *runner) error {
		t.Error("built without the lock")
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// The real recipes on a machine that lacks what they need.
func TestBuildSaysWhatIsMissing(t *testing.T) {
	goBin, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	onlyGo := t.TempDir()
	if err := os.Symlink(goBin, filepath.Join(onlyGo, "go")); err != nil {
		t.Fatal(err)
	}
	goCache, err := exec.Command(goBin, "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOROOT", "")
	t.Run("go", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		for _, build := range []func(context.Context, BuildOptions) (string, error){BuildInflux18, BuildInflux29} {
			if _, err := build(t.Context(), BuildOptions{CacheDir: t.TempDir()}); !errors.Is(err, ErrNoGo) || !strings.Contains(err.Error(), "--influxd PATH") {
				t.Errorf("got %v, want %v and what to do", err, ErrNoGo)
			}
		}
	})
	t.Run("rust", func(t *testing.T) {
		t.Setenv("PATH", onlyGo)
		if _, err := BuildInflux29(t.Context(), BuildOptions{CacheDir: t.TempDir()}); !errors.Is(err, ErrNoRust) {
			t.Errorf("got %v, want %v", err, ErrNoRust)
		}
	})
	t.Run("network", func(t *testing.T) {
		t.Setenv("GOPROXY", "off")
		t.Setenv("GOMODCACHE", t.TempDir())
		t.Setenv("GOCACHE", strings.TrimSpace(string(goCache)))
		_, err := BuildInflux18(t.Context(), BuildOptions{CacheDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "check the network") || !strings.Contains(err.Error(), "--influxd PATH") {
			t.Errorf("got %v, want what to do", err)
		}
	})
}

func TestStableToolchain(t *testing.T) {
	for list, want := range map[string]string{
		"stable-x86_64-unknown-linux-gnu (active, default)\nnightly-x86_64-unknown-linux-gnu\n":                    "stable-x86_64-unknown-linux-gnu",
		"nightly-aarch64-apple-darwin (default)\nstable-aarch64-apple-darwin\n":                                    "stable-aarch64-apple-darwin",
		"stable-i686-pc-windows-msvc\nstable-x86_64-pc-windows-msvc (default)\n":                                   "stable-x86_64-pc-windows-msvc",
		"1.9.0-x86_64-unknown-linux-gnu\n1.95.0-x86_64-unknown-linux-gnu (default)\n1.72-x86_64-unknown-linux-gnu": "1.95.0-x86_64-unknown-linux-gnu",
		"no installed toolchains\n": "",
		"":                          "",
	} {
		if got := stableToolchain(list); got != want {
			t.Errorf("of %q: %q, want %q", list, got, want)
		}
	}
}

func TestFindInfluxd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+"/bin")
	if _, _, err := FindInfluxd(t.Context(), ""); !errors.Is(err, ErrNoInfluxd) {
		t.Errorf("nothing on PATH: %v, want %v", err, ErrNoInfluxd)
	}
	if _, _, err := FindInfluxd(t.Context(), filepath.Join(dir, "absent")); err == nil || errors.Is(err, ErrNoInfluxd) {
		t.Errorf("a named one that is not there: %v", err)
	}
	for said, want := range map[string]string{
		"InfluxDB v1.8.10 (git: 1.8 688e697c51fd)":                    "v1.8.10",
		"InfluxDB v2.9.1 (git: abc) build_date: 2026-01-01T00:00:00Z": "v2.9.1",
		"InfluxDB dev (git: none) build_date: 2026-01-01T00:00:00Z":   "v2-dev",
		"InfluxDB v1.7.11 (git: 1.7 x)":                               "",
		"InfluxDB v3.0.1 (git: x)":                                    "",
		"InfluxDB dev (git: none)":                                    "",
		"influxdb3 1.8":                                               "",
		"":                                                            "",
	} {
		script(t, filepath.Join(dir, "influxd"), "echo '"+said+"'")
		bin, got, err := FindInfluxd(t.Context(), "")
		if got != want || (err == nil) != (want != "") || (want != "" && bin != filepath.Join(dir, "influxd")) {
			t.Errorf("it says %q: found %q version %q, %v; want version %q", said, bin, got, err, want)
		}
	}
}

func TestListeningAddr(t *testing.T) {
	for line, want := range map[string]string{
		`ts=2026-11-24T10:27:43Z lvl=info msg="Listening on HTTP" log_id=16k service=httpd addr=127.0.0.1:36145 https=false`:        "127.0.0.1:36145",
		`ts=2026-11-24T10:27:43Z lvl=info msg=Listening log_id=16k service=tcp-listener transport=http addr=127.0.0.1:0 port=37993`: "127.0.0.1:37993",
		`ts=2026-11-24T10:27:43Z lvl=info msg=Listening log_id=16k service=tcp-listener transport=http addr="[::1]:0" port=37993`:   "[::1]:37993",
		`ts=2026-11-24T10:27:43Z lvl=info msg="Listening for signals" log_id=16k`:                                                   "",
		`ts=2026-11-24T10:27:43Z lvl=info msg="Starting HTTP service" service=httpd authentication=false`:                           "",
	} {
		if got := listeningAddr(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestChildLogStartsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "influxd.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var told []string
	l.watch(func(addr string) { told = append(told, addr) })
	line := `lvl=info msg="Listening on HTTP" addr=127.0.0.1:1` + "\n"
	for _, b := range []byte(line + line) { // in the smallest pieces
		if _, err := l.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(told, []string{"127.0.0.1:1"}) {
		t.Errorf("told %v, want the address once", told)
	}
	block := []byte(strings.Repeat(strings.Repeat("x", 1023)+"\n", 1024))
	for range 20 {
		if _, err := l.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(l, "bind: address already in use")
	if !l.sawAddressInUse() || !strings.HasSuffix(l.end(), "address already in use") {
		t.Error("the last line was not seen")
	}
	for _, p := range []string{path, path + ".1"} {
		info, err := os.Stat(p)
		if err != nil || info.Size() > maxLog+int64(len(block)) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
}
