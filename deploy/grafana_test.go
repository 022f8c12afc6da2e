package deploy_test

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/tillwatch/tillwatch/dashboards"
)

// provisioned is one data source of the provisioning file, in Grafana's words.
type provisioned struct {
	Name          string
	UID           string
	Type          string
	Access        string
	URL           string
	IsDefault     bool `yaml:"isDefault"`
	Editable      bool
	BasicAuth     bool   `yaml:"basicAuth"`
	BasicAuthUser string `yaml:"basicAuthUser"`
	JSONData      struct {
		Version      string
		DBName       string `yaml:"dbName"`
		HTTPMode     string `yaml:"httpMode"`
		TimeInterval string `yaml:"timeInterval"`
	} `yaml:"jsonData"`
	SecureJSONData struct {
		BasicAuthPassword string `yaml:"basicAuthPassword"`
	} `yaml:"secureJsonData"`
}

func datasources(t testing.TB) []provisioned {
	t.Helper()
	var f struct {
		APIVersion  int `yaml:"apiVersion"`
		Prune       bool
		Datasources []provisioned
	}
	if err := yaml.UnmarshalWithOptions(read(t, "grafana/provisioning/datasources/tillwatch.yaml"), &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if f.APIVersion != 1 {
		t.Errorf("apiVersion %d", f.APIVersion)
	}
	return f.Datasources
}

// datasource is the provisioned data source of a database.
func datasource(t testing.TB, database string) provisioned {
	t.Helper()
	all := datasources(t)
	at := slices.IndexFunc(all, func(p provisioned) bool { return p.JSONData.DBName == database })
	if at < 0 {
		t.Fatalf("no data source for %s", database)
	}
	return all[at]
}

// password is what Grafana makes of its environment.
func (p provisioned) password(t testing.TB) string {
	t.Helper()
	env := project(t).Services["grafana"].Environment
	return regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(p.SecureJSONData.BasicAuthPassword, func(ref string) string {
		v := env[ref[2:len(ref)-1]]
		if v == nil {
			t.Fatalf("data source %s: Grafana has no variable %s", p.UID, ref)
		}
		return *v
	})
}

// What is provisioned is what the dashboards name.
func TestDatasources(t *testing.T) {
	got := datasources(t)
	if len(got) != len(dashboards.Datasources) {
		t.Fatalf("%d data sources, the dashboards know %d", len(got), len(dashboards.Datasources))
	}
	for i, want := range dashboards.Datasources {
		p := got[i]
		if p.UID != want.UID || p.Name != want.Name || p.JSONData.DBName != want.Database {
			t.Errorf("data source %d is %s %q of %s, want %+v", i, p.UID, p.Name, p.JSONData.DBName, want)
		}
		if p.Type != "influxdb" || p.Access != "proxy" || p.JSONData.Version != "InfluxQL" || p.Editable || p.IsDefault != (i == 0) {
			t.Errorf("data source %s: %+v", p.UID, p)
		}
		if !p.BasicAuth || p.BasicAuthUser == "" || !strings.HasPrefix(p.SecureJSONData.BasicAuthPassword, "${") {
			t.Errorf("data source %s: user %q, password %q", p.UID, p.BasicAuthUser, p.SecureJSONData.BasicAuthPassword)
		}
		if u, err := url.Parse(p.URL); err != nil || u.Host != "influxdb:8086" {
			t.Errorf("data source %s is at %s", p.UID, p.URL)
		}
	}
}

// Grafana finds the dashboards where the provider says, through the mounts of the compose file.
func TestDashboardsAreProvided(t *testing.T) {
	var f struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder          string
			FolderUID             string `yaml:"folderUid"`
			Type                  string
			DisableDeletion       bool `yaml:"disableDeletion"`
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct {
				Path                      string
				FoldersFromFilesStructure bool `yaml:"foldersFromFilesStructure"`
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(read(t, "grafana/provisioning/dashboards/tillwatch.yaml"), &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if f.APIVersion != 1 || len(f.Providers) != 1 || f.Providers[0].Type != "file" {
		t.Fatalf("%+v", f)
	}
	grafana := project(t).Services["grafana"]
	host := func(inside string) string {
		for _, v := range grafana.Volumes {
			if rest, ok := strings.CutPrefix(inside, v.Target); ok && v.ReadOnly {
				return filepath.Join(v.Source, filepath.FromSlash(rest))
			}
		}
		t.Fatalf("%s is not mounted", inside)
		return ""
	}
	all, err := dashboards.All()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d dashboards, %v", len(all), err)
	}
	for _, d := range all {
		if _, err := os.Stat(host(path.Join(f.Providers[0].Options.Path, d.Name))); err != nil {
			t.Error(err)
		}
	}
	home := host(*grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
	if _, err := dashboards.Parse(filepath.Base(home), read(t, home)); err != nil {
		t.Errorf("home dashboard: %v", err)
	}
	for _, folder := range []string{"datasources", "dashboards"} {
		if _, err := os.Stat(host("/etc/grafana/provisioning/" + folder + "/tillwatch.yaml")); err != nil {
			t.Error(err)
		}
	}
}
