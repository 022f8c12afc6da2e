package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Series is rows of one measurement and, after GROUP BY, one set of tag values.
type Series struct {
	Statement int               // place of the statement in the query, from 0
	Name      string            // measurement; "" or a server's own word for SHOW statements
	Tags      map[string]string // the tags grouped by; nil without GROUP BY
	Columns   []string          // "time" first for SELECT
	Values    [][]any           // rows of json.Number, string, bool or nil; a time is a json.Number, Unix nanoseconds
}

// Column returns the index of a column, -1 when there is none.
func (s *Series) Column(name string) int { return slices.Index(s.Columns, name) }

// Int returns row's value of the column and whether it is there and an integer. It reads integers up to 64 bits
// exactly, and a float that is a whole number as far as a float is exact.
func (s *Series) Int(row int, column string) (int64, bool) {
	n, ok := s.value(row, column).(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := n.Int64(); err == nil {
		return i, true
	}
	f, err := n.Float64()
	if err != nil || f != float64(int64(f)) {
		return 0, false
	}
	return int64(f), true
}

// Text returns row's value of the column and whether it is there and a string.
func (s *Series) Text(row int, column string) (string, bool) {
	t, ok := s.value(row, column).(string)
	return t, ok
}

func (s *Series) value(row int, column string) any {
	c := s.Column(column)
	if c < 0 || row < 0 || row >= len(s.Values) || c >= len(s.Values[row]) {
		return nil
	}
	return s.Values[row][c]
}

// Query runs one or more InfluxQL statements against a bucket and returns all rows, the pieces of a series joined.
// bucket may be empty for statements that need none. An error of any statement is returned, and no rows.
func (c *Client) Query(ctx context.Context, bucket, influxql string) ([]Series, error) {
	var all []Series
	for s, err := range c.Stream(ctx, bucket, influxql) {
		if err != nil {
			return nil, err
		}
		if n := len(all); n > 0 && all[n-1].continues(&s) {
			all[n-1].Values = append(all[n-1].Values, s.Values...)
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

func (s *Series) continues(next *Series) bool {
	return s.Statement == next.Statement && s.Name == next.Name && maps.Equal(s.Tags, next.Tags) && slices.Equal(s.Columns, next.Columns)
}

// Stream is Query in pieces of at most Options.ChunkRows rows, as they arrive: a long series comes as several Series,
// one after the other. It ends after the first error. Options.Timeout covers all of it, the caller's part included.
func (c *Client) Stream(ctx context.Context, bucket, influxql string) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		op := strings.TrimSpace("query " + bucket)
		ctx, cancel := c.bound(ctx)
		defer cancel()
		form := url.Values{
			"q": {influxql}, "epoch": {"ns"}, "chunked": {"true"}, "chunk_size": {strconv.Itoa(c.opts.ChunkRows)},
		}
		if bucket != "" {
			form.Set("db", bucket)
		}
		send := newBody([]byte(form.Encode()))
		resp, err := c.request(ctx, http.MethodPost, "/query", nil, "application/x-www-form-urlencoded", send)
		if err != nil {
			yield(Series{}, transportError(op, err))
			return
		}
		defer discard(resp)
		if resp.StatusCode != http.StatusOK {
			yield(Series{}, answerError(op, resp))
			return
		}
		decodeResults(op, resp.Body, yield)
	}
}

// results is one piece of an answer; /query sends one JSON object after the other.
type results struct {
	Results []struct {
		Statement int    `json:"statement_id"`
		Error     string `json:"error"`
		Partial   bool   `json:"partial"`
		Series    []struct {
			Name    string            `json:"name"`
			Tags    map[string]string `json:"tags"`
			Columns []string          `json:"columns"`
			Values  [][]any           `json:"values"`
		} `json:"series"`
	} `json:"results"`
	Error string `json:"error"`
}

func decodeResults(op string, r io.Reader, yield func(Series, error) bool) {
	dec := json.NewDecoder(r)
	dec.UseNumber() // a 64-bit integer does not fit in a float
	seen, unfinished := false, false
	for {
		var piece results
		switch err := dec.Decode(&piece); {
		case errors.Is(err, io.EOF) && !seen:
			yield(Series{}, &Error{Class: Transient, Op: op, Status: http.StatusOK, Message: "an empty answer"})
			return
		case errors.Is(err, io.EOF) && unfinished:
			yield(Series{}, &Error{Class: Transient, Op: op, Status: http.StatusOK, Message: "the answer broke off between two pieces"})
			return
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			yield(Series{}, decodeError(op, err))
			return
		}
		seen = true
		if piece.Error != "" {
			yield(Series{}, statementError(op, 0, piece.Error))
			return
		}
		for _, res := range piece.Results {
			if res.Error != "" {
				yield(Series{}, statementError(op, res.Statement, res.Error))
				return
			}
			unfinished = res.Partial
			for _, s := range res.Series {
				if !yield(Series{Statement: res.Statement, Name: s.Name, Tags: s.Tags, Columns: s.Columns, Values: s.Values}, nil) {
					return
				}
			}
		}
	}
}

// Ident writes a name (measurement, field, tag, database) as InfluxQL reads it, in double quotes.
func Ident(name string) string { return `"` + identEscapes.Replace(name) + `"` }

// Literal writes a string value as InfluxQL reads it, in single quotes.
func Literal(value string) string { return `'` + literalEscapes.Replace(value) + `'` }

var (
	identEscapes   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	literalEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `'`, `\'`)
)

// exec runs statements whose rows do not matter, on 1.8.
func (c *Client) exec(ctx context.Context, op, statement string) error {
	if _, err := c.Query(ctx, "", statement); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}
