package pipeline

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events        *prometheus.CounterVec // verdict
	transitions   *prometheus.CounterVec // kind, transition
	openIncidents prometheus.Gauge
	active        prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events:        prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tillwatch", Subsystem: "alerter", Name: "events_total", Help: "Events folded, by what they were taken for."}, []string{"verdict"}),
		transitions:   prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tillwatch", Subsystem: "alerter", Name: "transitions_total", Help: "Transitions of incidents stored."}, []string{"kind", "transition"}),
		openIncidents: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tillwatch", Subsystem: "alerter", Name: "open_incidents", Help: "Incidents open now."}),
		active:        prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tillwatch", Subsystem: "alerter", Name: "active", Help: "1 in the process that holds the lease."}),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.transitions, m.openIncidents, m.active)
	}
	return m
}
