package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tillwatch/tillwatch/internal/influx"
)

// credentials are the first account of an embedded server.
type credentials struct {
	Org      string
	User     string
	Password string
	Token    influx.Token
}

const credentialsFile = "influx-admin.json"

// stored is how credentials rest on the disk, where they are not masked; the file is readable by its owner only.
type stored struct {
	Org      string `json:"org,omitempty"`
	User     string `json:"user"`
	Password string `json:"password"`
	Token    string `json:"token"`
}

// loadCredentials reads the account kept in dir or makes one, and says whether it made one. They are on the disk before
// the server gets them, so that a crash in between leaves an account that can be used. A 1.8 without authentication
// has none.
func loadCredentials(dir string, major int, auth bool) (credentials, bool, error) {
	if major == 1 && !auth {
		return credentials{}, false, nil
	}
	path := filepath.Join(dir, credentialsFile)
	b, err := os.ReadFile(path)
	if err == nil {
		var s stored
		if err := json.Unmarshal(b, &s); err != nil {
			return credentials{}, false, fmt.Errorf("read %s: %w", path, err)
		}
		if s.User == "" || s.Password == "" || s.Token == "" {
			return credentials{}, false, fmt.Errorf("read %s: the account is not complete", path)
		}
		return credentials{s.Org, s.User, s.Password, influx.Token(s.Token)}, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return credentials{}, false, fmt.Errorf("read credentials: %w", err)
	}
	s := stored{User: "tillwatch", Password: rand.Text()}
	if major == 1 {
		s.Token = s.User + ":" + s.Password
	} else {
		s.Org, s.Token = "tillwatch", rand.Text()+rand.Text()
	}
	b, err = json.Marshal(s)
	if err != nil {
		return credentials{}, false, err
	}
	if err := writeFileSync(path, append(b, '\n')); err != nil {
		return credentials{}, false, fmt.Errorf("keep credentials: %w", err)
	}
	return credentials{s.Org, s.User, s.Password, influx.Token(s.Token)}, true, nil
}

// writeFileSync writes a file that is either whole or not there.
func writeFileSync(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
