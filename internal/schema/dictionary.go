package schema

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

const dictionaryHead = `# Data dictionary

What Tillwatch stores in InfluxDB, generated from internal/schema (run its tests with -update after a change). The same
on 1.8, where a bucket is a database, and on 2.x.

Queries are InfluxQL, sent to ` + "`/query?db=<bucket>`" + `; on 2.x with a token that may read the bucket:

` + "```sh" + `
curl -G "$INFLUX_URL/query" -H "Authorization: Token $INFLUX_TOKEN" --data-urlencode db=pos_events \
  --data-urlencode 'q=SELECT count("id") FROM "decline" WHERE "code" = '"'03'"' AND time > now() - 1h GROUP BY "acquirer"'
` + "```" + `

In the examples ` + "`$acquirer`, `$terminal` and `$merchant`" + ` stand for an acquirer id, a TID and a merchant number. Times are
UTC. A rate is made from counts in the query; write ` + "`1.0*sum(a)/sum(b)`" + ` where it goes through a subquery, because a
quotient of two integers is 0 there.
`

// WriteDictionary renders the data dictionary as Markdown: the buckets with their retention, and of each measurement
// what it is, its time, tags, fields with units, and example queries.
func WriteDictionary(w io.Writer) error {
	b := bufio.NewWriter(w)
	put := func(format string, args ...any) { fmt.Fprintf(b, format, args...) }

	put("%s\n## Buckets\n\n| bucket | kept for | holds | measurements |\n|---|---|---|---|\n", dictionaryHead)
	for _, bucket := range Buckets {
		var names []string
		for i := range Measurements {
			if m := &Measurements[i]; m.Bucket == bucket.Name {
				names = append(names, "["+m.Name+"](#"+m.Name+")")
			}
		}
		put("| `%s` | %s | %s | %s |\n", bucket.Name, days(bucket.Retention), cell(bucket.Doc), strings.Join(names, ", "))
	}
	for i := range Measurements {
		m := &Measurements[i]
		put("\n## %s\n\n%s\n\nBucket: `%s`. Time: %s.\n", m.Name, m.Doc, m.Bucket, m.Time)
		put("\n| tag | meaning |\n|---|---|\n")
		for _, c := range m.Tags {
			put("| `%s` | %s |\n", c.Name, cell(c.Doc))
		}
		put("\n| field | type | unit | meaning |\n|---|---|---|---|\n")
		for _, c := range m.Fields {
			put("| `%s` | %s | %s | %s |\n", c.Name, c.Type, cell(c.Unit), cell(c.Doc))
		}
		for _, q := range m.Examples {
			put("\n%s:\n\n```sql\n%s\n```\n", q.Doc, q.InfluxQL)
		}
	}
	return b.Flush()
}

// cell escapes what would end a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func days(d time.Duration) string {
	if d == 0 {
		return "ever"
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
