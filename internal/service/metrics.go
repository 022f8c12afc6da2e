package service

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// buildInfo is the constant 1 with the build in its labels, the usual form to join other series with.
func buildInfo(b Build) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tillwatch_build_info",
		Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Revision, "changed": strconv.FormatBool(b.Dirty), "go_version": b.Go,
		},
	}, func() float64 { return 1 })
}

var (
	conditionDesc = prometheus.NewDesc("tillwatch_condition_ok",
		"1 while the condition holds or fails too shortly to be reported, 0 otherwise.", []string{"condition", "severity"}, nil)
	readyDesc = prometheus.NewDesc("tillwatch_ready",
		"1 while every required condition holds, as /readyz says.", nil, nil)
	wedgedDesc = prometheus.NewDesc("tillwatch_wedged_loops",
		"Loops that have not turned for longer than they promised; /healthz fails while there are any.", nil, nil)
)

// healthCollector shows the conditions as metrics.
type healthCollector struct{ h *Health }

func (c *healthCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- conditionDesc
	ch <- readyDesc
	ch <- wedgedDesc
}

func (c *healthCollector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	reports, wedged := c.h.Report(now), c.h.Wedged(now)
	for _, r := range reports {
		ok := r.State == StateOK || r.State == StatePending
		ch <- prometheus.MustNewConstMetric(conditionDesc, prometheus.GaugeValue, gauge(ok), r.Name, string(r.Severity))
	}
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, gauge(Ready(reports) && len(wedged) == 0))
	ch <- prometheus.MustNewConstMetric(wedgedDesc, prometheus.GaugeValue, float64(len(wedged)))
}

func gauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
