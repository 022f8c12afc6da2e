package app_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

const repository = "../../.."

// page is one Markdown file, taken apart.
type page struct {
	path   string // from the repository, with slashes
	prose  []line // outside code blocks
	blocks []block
}

type line struct {
	n    int
	text string
}

// block is a code block, fenced or indented by four spaces.
type block struct {
	n    int    // its first line
	info string // behind the fence; "" for an indented one
	text string
}

var bullet = regexp.MustCompile(`^([-*+]|\d+[.)]) `)

// readPage splits a page into prose and code. An indented block begins behind an empty line, as in CommonMark, and
// outside lists.
func readPage(path, text string) page {
	p := page{path: path}
	var fence string
	empty, list, indented := true, false, false
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(l, " ")
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) && strings.Trim(trimmed, "`~ ") == "" {
				fence = ""
				continue
			}
			p.blocks[len(p.blocks)-1].text += l + "\n"
		case strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
			p.blocks = append(p.blocks, block{n: i + 2, info: strings.TrimSpace(strings.Trim(trimmed, "`~"))})
			indented, empty = false, false
		case strings.HasPrefix(l, "    ") && (indented || empty && !list):
			if !indented {
				p.blocks = append(p.blocks, block{n: i + 1})
			}
			p.blocks[len(p.blocks)-1].text += l[4:] + "\n"
			indented, empty = true, false
		default:
			if empty = trimmed == ""; empty {
				continue
			}
			indented = false
			list = bullet.MatchString(trimmed) || list && strings.HasPrefix(l, " ")
			p.prose = append(p.prose, line{i + 1, l})
		}
	}
	return p
}

// pages are the README and everything under docs.
func pages(t *testing.T) []page {
	t.Helper()
	files := []string{filepath.Join(repository, "README.md")}
	err := filepath.WalkDir(filepath.Join(repository, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []page
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(repository, f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, readPage(filepath.ToSlash(name), string(raw)))
	}
	return out
}

// anchors are the fragments of a page's headings, as GitHub makes them.
func anchors(p page) map[string]bool {
	out := map[string]bool{}
	for _, l := range p.prose {
		title, ok := strings.CutPrefix(strings.TrimLeft(l.text, "#"), " ")
		if !ok || !strings.HasPrefix(l.text, "#") {
			continue
		}
		var b strings.Builder
		for _, r := range strings.ToLower(title) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				b.WriteRune(r)
			case r == ' ':
				b.WriteByte('-')
			}
		}
		out[b.String()] = true
	}
	return out
}

// commandLine finds a line that runs tillwatch, behind variables it sets for it, and what follows the program's name.
var commandLine = regexp.MustCompile(`^\$?\s*(?:\w+=\S* )*(?:(?:\./)?tillwatch|go run (?:-\S+ )*\./cmd/tillwatch)(?: (.*))?$`)

// commandLines are the arguments of every tillwatch command of a page's code.
func commandLines(p page) (out []line) {
	for _, b := range p.blocks {
		text := strings.ReplaceAll(b.text, "\\\n", "\x00")
		n := b.n
		for l := range strings.SplitSeq(text, "\n") {
			if m := commandLine.FindStringSubmatch(strings.TrimSpace(strings.ReplaceAll(l, "\x00", " "))); m != nil {
				out = append(out, line{n, m[1]})
			}
			n += 1 + strings.Count(l, "\x00")
		}
	}
	return out
}

// shellWords splits a command line as a shell does where it is as simple as those of the documentation: quotes, and the
// end at a comment, pipe, redirection or next command.
func shellWords(s string) (words []string, err error) {
	var b strings.Builder
	open, quote := false, rune(0)
	flush := func() {
		if open {
			words = append(words, b.String())
		}
		open = false
		b.Reset()
	}
	for _, r := range s {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				b.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ' || r == '\t':
			flush()
		case strings.ContainsRune("|;&<>", r) || r == '#' && !open:
			flush()
			return words, nil
		default:
			b.WriteRune(r)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c that is not closed", quote)
	}
	flush()
	return words, nil
}
