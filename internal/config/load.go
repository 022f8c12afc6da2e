package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxTokenFile bounds what is read as a token, in bytes.
const maxTokenFile = 64 << 10

// Load reads and checks the file at path. Relative paths in it are made relative to its folder. The error is of type
// Problems unless the file cannot be read.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	c.files(func(_ string, file *string, _ *Secret) {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
	})
	return c, nil
}

// DirectoryTokenVar is the environment variable that holds the token of an acquirer's directory.
func DirectoryTokenVar(acquirer string) string {
	return "TILLWATCH_DIRECTORY_TOKEN_" + strings.ToUpper(strings.ReplaceAll(acquirer, "-", "_"))
}

// Resolve fetches what the configuration only points at, and is called once after Apply: it reads the token files into
// their tokens, takes the directories' tokens from the environment (DirectoryTokenVar), and makes sure that every
// other named file can be opened. All that is missing is reported at once; the error is of type Problems.
func (c *Config) Resolve(getenv func(string) string) error {
	k := &checker{c: c}
	k.natsUser(c.NATS)
	vars := map[string]string{} // who uses a variable
	for _, id := range sortedKeys(c.Acquirers) {
		name := DirectoryTokenVar(id)
		token := getenv(name)
		if token == "" {
			continue
		}
		if other, ok := vars[name]; ok {
			k.report("acquirers."+id, "the same environment variable "+name+" as acquirer "+other,
				"ids that differ by more than case, or token_file")
			continue
		}
		vars[name] = id
		a := c.Acquirers[id]
		a.Directory.Token, a.Directory.TokenFile = Secret(token), ""
		c.Acquirers[id] = a
	}
	c.files(func(key string, file *string, token *Secret) {
		if *file == "" {
			return
		}
		got, err := readFile(*file, token != nil)
		switch {
		case err != nil:
			k.report(key, reason(err)+" "+strconv.Quote(*file), "a file that can be read")
		case token == nil:
		case got == "":
			k.report(key, "an empty file "+strconv.Quote(*file), "the token alone in the file")
		case strings.ContainsAny(got, "\r\n\t ") || len(got) >= maxTokenFile:
			k.report(key, "more than a token in "+strconv.Quote(*file), "the token alone in the file")
		default:
			*token = Secret(got)
		}
	})
	k.problems.sort()
	return k.problems.Err()
}

// files calls visit with every path of the tree: its key, and the secret that it fills, if it is a secret's.
func (c *Config) files(visit func(key string, file *string, token *Secret)) {
	visit("nats.creds", &c.NATS.Creds, nil)
	visit("nats.password_file", &c.NATS.PasswordFile, &c.NATS.Password)
	visit("influx.token_file", &c.Influx.TokenFile, &c.Influx.Token)
	for _, id := range sortedKeys(c.Acquirers) {
		a := c.Acquirers[id]
		if strings.ContainsAny(a.Profile, `./\`) {
			visit("acquirers."+id+".profile", &a.Profile, nil)
		}
		visit("acquirers."+id+".directory.token_file", &a.Directory.TokenFile, &a.Directory.Token)
		c.Acquirers[id] = a
	}
	visit("alert.merchants", &c.Alert.Merchants, nil)
}

// readFile opens a file, and reads it if its content is wanted.
func readFile(path string, content bool) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return "", err
	} else if info.IsDir() {
		return "", errors.New("a folder")
	}
	if !content {
		return "", nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	return string(bytes.TrimSpace(data)), err
}

// reason words an error of the file system without its path, which stands beside it.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no file"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to read"
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return err.Error()
}
