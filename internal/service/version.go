package service

import (
	"runtime/debug"
	"strings"
)

// Build is what the running binary says of itself. Strings that the build did not record are empty.
type Build struct {
	Module   string // module path
	Version  string // module version, or (devel)
	Revision string // commit
	Dirty    bool   // built from a changed checkout
	Time     string // of the commit, RFC 3339
	Go       string // version of the toolchain
}

// Version reads what the toolchain recorded in the binary.
func Version() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "unknown"}
	}
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) Build {
	b := Build{Module: info.Main.Path, Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// String is one line: version, commit, whether the checkout was changed, toolchain.
func (b Build) String() string {
	parts := []string{b.Version}
	if b.Revision != "" {
		parts = append(parts, b.Revision[:min(12, len(b.Revision))])
	}
	if b.Dirty {
		parts = append(parts, "changed")
	}
	if b.Go != "" {
		parts = append(parts, b.Go)
	}
	return strings.Join(parts, " ")
}
