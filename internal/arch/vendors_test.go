package arch

import (
	"slices"
	"strings"
)

// vendor is the rooms that may know one library. A library that many rooms know cannot be replaced, and its types turn
// into ours.
type vendor struct {
	library string   // import path of its root
	rooms   []string // that may import it, with the folders below them
	tests   []string // whose tests may import it beside them
}

// everywhere stands for all rooms.
const everywhere = ""

var table = []vendor{
	{"github.com/alecthomas/kong", []string{"cmd/tillwatch"}, nil},
	{"github.com/cespare/xxhash/v2", []string{"internal/fleet"}, nil},
	{"github.com/compose-spec/compose-go/v2", nil, []string{"dashboards", "deploy"}},
	{"github.com/failsafe-go/failsafe-go", []string{"internal/acquirer", "alerter/slack", "internal/influx", "collector"}, nil},
	{"github.com/goccy/go-yaml", []string{"internal/config", "internal/simulate"}, []string{"dashboards", "deploy"}},
	{"github.com/google/go-cmp", nil, []string{everywhere}},
	{"github.com/influxdata/influxdb-client-go/v2", []string{"internal/influx"}, nil},
	{"github.com/nats-io/nats-server/v2", []string{"internal/embedded", "internal/fleettest"}, []string{"deploy"}},
	{"github.com/nats-io/nats.go", []string{"internal/bus", "internal/embedded", "internal/fleettest"}, []string{"deploy"}},
	{"github.com/prometheus/client_golang", []string{"internal/service", "cmd/tillwatch", "collector", "alerter/pipeline", "internal/bus"}, []string{everywhere}},
	{"github.com/robfig/cron/v3", []string{"alerter/check", "internal/config"}, nil},
	{"github.com/slack-go/slack", []string{"alerter/slack"}, []string{"internal/fleettest"}},
	{"golang.org/x/sys", []string{"internal/embedded", "internal/service"}, nil}, // file locks, free space of a disk
	{"golang.org/x/term", []string{"cmd/tillwatch", "alerter/slack"}, nil},       // width of a terminal
	{"golang.org/x/text", []string{"internal/registry", "alerter/slack"}, nil},   // GBK; width of Chinese text
	{"golang.org/x/tools", nil, []string{everywhere}},                            // txtar case files
	{"pgregory.net/rapid", nil, []string{everywhere}},
}

// vendors holds the table. A library that is not in it is new: who adds it says which room it belongs to.
func vendors(s *source) (out []violation) {
	for _, i := range s.imports {
		if i.room != "" || !isVendor(i.path) {
			continue
		}
		row := slices.IndexFunc(table, func(v vendor) bool { return within(i.path, v.library) })
		if row < 0 {
			out = append(out, s.breach(i.line, "imports "+i.path, "every library has a row in the table of internal/arch", "do without it, or add a row with the one room that needs it"))
			continue
		}
		v := table[row]
		if within(s.room, v.rooms...) || s.test && (slices.Contains(v.tests, everywhere) || within(s.room, v.tests...)) {
			continue
		}
		rooms := strings.Join(v.rooms, ", ")
		if rooms == "" {
			rooms = "tests only"
		}
		out = append(out, s.breach(i.line, "imports "+i.path, v.library+" is known to "+rooms, "use what that room offers; if it is wanting, extend it there"))
	}
	return out
}

// isVendor reports whether an import path is of another module: its first element is a host's name.
func isVendor(p string) bool {
	host, _, _ := strings.Cut(p, "/")
	return strings.Contains(host, ".") && !within(p, module)
}
