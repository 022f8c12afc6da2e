package arch

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// banned is something that has no place in a tracked file. The patterns are written so that they do not match
// themselves.
type banned struct {
	what    string
	re      *regexp.Regexp
	except  []string // files in which it means something else
	rule    string
	instead string
}

var bannedWords = []banned{
	{"a path of one machine",
		regexp.MustCompile(`(?:^|[\s"'` + "`" + `=:(,\[])(/(?:[w]ork|[r]oot|[t]mp|[h]ome/[a-z][\w-]*|[U]sers/[A-Za-z][\w-]*)(?:/|$|[\s"'` + "`" + `,;:)\]]))`),
		[]string{".gitignore", ".dockerignore"}, // where a leading slash means the repository
		"no path of one machine", "use t.TempDir, os.MkdirTemp, or a path relative to the repository"},
	{"the host of a package registry or proxy",
		regexp.MustCompile(`(?i)\b(?:[g]oproxy|(?:proxy|sum)[.]golang|registry[.]npmjs|(?:index|static)[.]crates|[p]ypi|[a]rtifactory)[.](?:org|io|cn|com|net)\b`),
		nil, "no host of a registry or proxy: whoever builds has their own", "leave it to the tool's own configuration"},
	{"a registry or proxy set to an address",
		regexp.MustCompile(`\b(?:G[O]PROXY|G[O]SUMDB|(?i:https?)_[Pp][Rr][Oo][Xx][Yy]|P[I]P_INDEX_URL|N[P]M_CONFIG_REGISTRY)["']?\s*[=:]\s*["']?\w+://`),
		nil, "no host of a registry or proxy: whoever builds has their own", "leave it to the environment"},
	{"a host of a private network",
		regexp.MustCompile(`://[\w.-]+[.](?:internal|corp|intranet|lan)\b`),
		nil, "no host of a private network", "use a name under example.com, or loopback"},
	{"an unfinished thought",
		regexp.MustCompile(`\b(?:T[O]DO|F[I]XME)\b`),
		nil, "what is not done is not in the code", "do it, or say in the documentation what is missing"},
}

// dockerHost is how a container reaches the machine it runs on, by a public convention.
const dockerHost = "://host.docker.internal"

// words holds the banned ones in any text file.
func words(name, text string) (out []violation) {
	for n, line := range strings.Split(text, "\n") {
		for _, b := range bannedWords {
			m := b.re.FindString(line)
			if m == "" || slices.Contains(b.except, name) || m == dockerHost {
				continue
			}
			out = append(out, violation{name, n + 1, b.what + ": " + strings.TrimSpace(m), b.rule, b.instead})
		}
	}
	return out
}

// isText tells text by having no NUL in its beginning and being UTF-8 as a whole.
func isText(data []byte) bool {
	return !bytes.ContainsRune(data[:min(len(data), 8000)], 0) && utf8.Valid(data)
}
