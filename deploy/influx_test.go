package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

const setupScript = "influx/10-buckets-and-reader.sh"

// The set-up makes every bucket of the schema, with the schema's retention and the shards that the collector would
// choose, so that the collector finds nothing to change.
func TestSetupMakesTheSchema(t *testing.T) {
	script := string(read(t, setupScript))
	if info, err := os.Stat(setupScript); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("%s: %v, %v; the image runs only what is executable", setupScript, info, err)
	}
	if user := datasource(t, schema.BucketEvents).BasicAuthUser; !strings.Contains(script, "--username "+user+" ") {
		t.Errorf("the set-up makes another user than %q, whom Grafana is", user)
	}
	made := map[string][2]string{}
	for _, m := range regexp.MustCompile(`\(bucket (\w+) (\w+) (\w+)\)`).FindAllStringSubmatch(script, -1) {
		made[m[1]] = [2]string{m[2], m[3]}
	}
	if m := regexp.MustCompile(`bucket update --id "\$events" --retention (\w+) --shard-group-duration (\w+)`).FindStringSubmatch(script); m != nil {
		env := project(t).Services["influxdb"].Environment
		made[*env["DOCKER_INFLUXDB_INIT_BUCKET"]] = [2]string{m[1], m[2]}
		if got := *env["DOCKER_INFLUXDB_INIT_RETENTION"]; got != m[1] {
			t.Errorf("the set-up keeps the first bucket for %s, then for %s", got, m[1])
		}
	}
	if len(made) != len(schema.Buckets) {
		t.Errorf("%d buckets are made, the schema has %d", len(made), len(schema.Buckets))
	}
	for _, b := range schema.Buckets {
		want := [2]string{days(b.Retention), days(influx.ShardDuration(b.Retention))}
		if made[b.Name] != want {
			t.Errorf("bucket %s: made with %v, want %v", b.Name, made[b.Name], want)
		}
	}
}

func days(d time.Duration) string { return fmt.Sprintf("%dd", d/(24*time.Hour)) }

// The script works on a real server, with the real influx command line. That is a part of the image and of few other
// machines, so the test is skipped without it.
func TestSetupScriptRuns(t *testing.T) {
	cli, err := exec.LookPath("influx")
	if err != nil {
		t.Skip("SKIP: the influx command line (2.x) is not on PATH")
	}
	if out, _ := exec.CommandContext(t.Context(), cli, "version").CombinedOutput(); !bytes.Contains(out, []byte("Influx CLI")) {
		t.Skipf("SKIP: %s is not the command line of 2.x", cli)
	}
	s := influxtest.Start29(t)
	c := s.Client(t)
	first := []schema.Bucket{{Name: schema.BucketEvents, Retention: schema.Retention(schema.BucketEvents)}}
	if err := c.EnsureBuckets(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	_, ids := identities(t, s)
	cmd := exec.CommandContext(t.Context(), "sh", setupScript)
	cmd.Env = append(os.Environ(), "INFLUX_HOST="+s.URL, "INFLUX_TOKEN="+s.Token.Reveal(), "INFLUX_CONFIGS_PATH="+filepath.Join(t.TempDir(), "configs"),
		"DOCKER_INFLUXDB_INIT_ORG="+s.Org, "DOCKER_INFLUXDB_INIT_BUCKET_ID="+ids[schema.BucketEvents], "TILLWATCH_GRAFANA_PASSWORD="+secrets(t)["INFLUX_GRAFANA_PASSWORD"])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, b := range schema.Buckets {
		if got, err := c.Retention(t.Context(), b.Name); err != nil || got != b.Retention {
			t.Errorf("bucket %s: %v, %v; want %v", b.Name, got, err, b.Retention)
		}
	}
	readOnly(t, s)
}

// makeReader does what the script does, through the server's API: the same user with the same rights.
func makeReader(t testing.TB, s *influxtest.Server) {
	t.Helper()
	if err := s.Client(t).EnsureBuckets(t.Context(), schema.Buckets); err != nil {
		t.Fatal(err)
	}
	org, ids := identities(t, s)
	var may []map[string]any
	for _, b := range schema.Buckets {
		may = append(may, map[string]any{"action": "read", "resource": map[string]string{"type": "buckets", "id": ids[b.Name], "orgID": org}})
	}
	var made struct{ ID string }
	call(t, s, http.MethodPost, "/private/legacy/authorizations", map[string]any{"orgID": org, "token": datasource(t, schema.BucketEvents).BasicAuthUser, "status": "active", "permissions": may}, &made)
	call(t, s, http.MethodPost, "/private/legacy/authorizations/"+made.ID+"/password", map[string]string{"password": secrets(t)["INFLUX_GRAFANA_PASSWORD"]}, nil)
}

// identities are the ids of the organization and of its buckets by name.
func identities(t testing.TB, s *influxtest.Server) (org string, buckets map[string]string) {
	t.Helper()
	var list struct {
		Buckets []struct{ ID, Name, OrgID string }
	}
	call(t, s, http.MethodGet, "/api/v2/buckets?limit=100", nil, &list)
	buckets = map[string]string{}
	for _, b := range list.Buckets {
		if buckets[b.Name] = b.ID; b.Name == schema.BucketEvents {
			org = b.OrgID
		}
	}
	return org, buckets
}

// call asks the server's API as its administrator.
func call(t testing.TB, s *influxtest.Server, method, path string, body, answer any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+s.Token.Reveal())
	status, got := do(t, req)
	if status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, status, got)
	}
	if answer != nil {
		if err := json.Unmarshal(got, answer); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

func do(t testing.TB, req *http.Request) (status int, body []byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// asGrafana asks a database what Grafana's provisioned data source would ask, with the credential that it sends.
func asGrafana(t testing.TB, s *influxtest.Server, database, influxql string) (status int, body []byte) {
	t.Helper()
	source := datasource(t, database)
	form := url.Values{"db": {source.JSONData.DBName}, "q": {influxql}, "epoch": {"ms"}}
	req, err := http.NewRequestWithContext(t.Context(), source.JSONData.HTTPMode, s.URL+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(source.BasicAuthUser, source.password(t))
	return do(t, req)
}

// readOnly demands that Grafana's credential reads every bucket and writes nowhere.
func readOnly(t *testing.T, s *influxtest.Server) {
	t.Helper()
	admin := s.Client(t)
	line := fmt.Appendf(nil, "probe v=1i %d", time.Now().UnixNano())
	for _, database := range []string{schema.BucketEvents, schema.BucketRaw} {
		if err := admin.Write(t.Context(), database, line); err != nil {
			t.Fatal(err)
		}
		if status, body := asGrafana(t, s, database, `SELECT count("v") FROM "probe"`); status != http.StatusOK || !bytes.Contains(body, []byte(`,1]]`)) {
			t.Errorf("%s as Grafana: %d %s; want the one point", database, status, body)
		}
		for _, path := range []string{"/write?db=" + database, "/api/v2/write?org=" + url.QueryEscape(s.Org) + "&bucket=" + database} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, bytes.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			source := datasource(t, database)
			req.SetBasicAuth(source.BasicAuthUser, source.password(t))
			if status, body := do(t, req); status != http.StatusUnauthorized && status != http.StatusForbidden {
				t.Errorf("%s as Grafana: %d %s; want it refused", path, status, body)
			}
		}
	}
}

// The credential of the provisioned data sources reads, and cannot write.
func TestGrafanaReadsOnly(t *testing.T) {
	s := influxtest.Start29(t)
	makeReader(t, s)
	readOnly(t, s)
}
