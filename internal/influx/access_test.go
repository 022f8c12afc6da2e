package influx_test

import (
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
)

// bothWithAuth is Both with a 1.8 that demands credentials.
func bothWithAuth(t *testing.T, f func(t *testing.T, s *influxtest.Server)) {
	t.Run("1.8", func(t *testing.T) { f(t, influxtest.Start18Auth(t)) })
	t.Run("2.9", func(t *testing.T) { f(t, influxtest.Start29(t)) })
}

func TestWrongToken(t *testing.T) {
	bothWithAuth(t, func(t *testing.T, s *influxtest.Server) {
		ctx := t.Context()
		newBucket(t, s.Client(t), bucket)
		for name, token := range map[string]influx.Token{"none": "", "unknown": "nobody:wrong"} {
			c := s.ClientWith(t, influx.Options{Token: token})
			if e := wantError(t, c.Write(ctx, bucket, []byte("m v=1i 1")), influx.Unauthorised, 401); e.Hint == "" {
				t.Errorf("%s: no hint", name)
			}
			_, err := c.Query(ctx, bucket, `SELECT "v" FROM "m"`)
			wantError(t, err, influx.Unauthorised, 401)
			if err := c.Ready(ctx); err != nil {
				t.Errorf("%s: ready needs no credentials: %v", name, err)
			}
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("the error shows the token: %v", err)
			}
		}
	})
}

func TestReadTokens(t *testing.T) {
	bothWithAuth(t, func(t *testing.T, s *influxtest.Server) {
		ctx, admin := t.Context(), s.Client(t)
		newBucket(t, admin, "acq_a1", "acq_a1_rollup", "acq_a2")
		for _, b := range []string{"acq_a1", "acq_a1_rollup", "acq_a2"} {
			if err := admin.Write(ctx, b, []byte("m v=1i 1")); err != nil {
				t.Fatal(err)
			}
		}
		token, err := admin.ReadToken(ctx, "acq_a1", "acq_a1_rollup")
		if err != nil {
			t.Fatal(err)
		}
		c := s.ClientWith(t, influx.Options{Token: token})
		for _, b := range []string{"acq_a1", "acq_a1_rollup"} {
			if rows, err := c.Query(ctx, b, `SELECT "v" FROM "m"`); err != nil || len(rows) != 1 {
				t.Errorf("its own bucket %s: %v, %v", b, rows, err)
			}
		}
		_, err = c.Query(ctx, "acq_a2", `SELECT "v" FROM "m"`)
		switch s.Major {
		case 1:
			wantError(t, err, influx.Unauthorised, 403)
		case 2:
			wantError(t, err, influx.BucketMissing, 200)
		}
		// A foreign database by its full name, from inside the own one.
		if rows, err := c.Query(ctx, "acq_a1", `SELECT "v" FROM "acq_a2".."m"`); err == nil {
			t.Errorf("a foreign bucket through its full name: %v", rows)
		}
		rows, err := c.Query(ctx, "", "SHOW DATABASES")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range rows {
			for row := range s.Values {
				name, _ := s.Text(row, "name")
				names = append(names, name)
			}
		}
		if got := strings.Join(names, " "); got != "acq_a1 acq_a1_rollup" {
			t.Errorf("it sees the databases %q", got)
		}
		e := wantError(t, c.Write(ctx, "acq_a1", []byte("m v=2i 2")), influx.Unauthorised, 403)
		if e.Hint == "" {
			t.Error("no hint for a read token that writes")
		}
		if _, err := c.ReadToken(ctx, "acq_a1"); err == nil {
			t.Error("a read token made another token")
		}
		if _, err := admin.ReadToken(ctx, "acq_a1", "absent"); influx.ClassOf(err) != influx.BucketMissing {
			t.Errorf("a token for a bucket that is not there: %v", err)
		}
		again, err := admin.ReadToken(ctx, "acq_a1")
		if err != nil || again == token {
			t.Errorf("a second token: same %t, %v", again == token, err)
		}
		t.Logf("reads 2 of 3 buckets, sees %v; a write: status %d", names, e.Status)
	})
}

func TestReadTokenWithoutAuthentication(t *testing.T) {
	s := influxtest.Start18(t)
	c := s.Client(t)
	newBucket(t, c, bucket)
	_, err := c.ReadToken(t.Context(), bucket)
	e, ok := errorOf(err)
	if !ok || e.Class != influx.Unsupported || !strings.Contains(e.Hint, "auth-enabled") {
		t.Errorf("got %v; want class %q and a hint", err, influx.Unsupported)
	}
	rows, err := c.Query(t.Context(), "", "SHOW USERS")
	if err != nil || len(rows) != 1 || len(rows[0].Values) != 0 {
		t.Errorf("users after a refusal: %v, %v; want none", rows, err)
	}
}

func TestSetupHappensOnce(t *testing.T) {
	bothWithAuth(t, func(t *testing.T, s *influxtest.Server) {
		c := s.ClientWith(t, influx.Options{})
		made, err := c.Setup(t.Context(), influx.Admin{User: "intruder", Password: "intruder-1", Org: "o", Bucket: "b", Token: "intruder:intruder-1"})
		if made || err != nil {
			t.Errorf("a second setup: %t, %v; want false, nil", made, err)
		}
		intruder := s.ClientWith(t, influx.Options{Token: "intruder:intruder-1"})
		if _, err := intruder.Query(t.Context(), "", "SHOW DATABASES"); influx.ClassOf(err) != influx.Unauthorised {
			t.Errorf("the second account: %v; want class %q", err, influx.Unauthorised)
		}
	})
}
