package simulate

import (
	"math"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// heartbeat makes the heartbeat of terminal i at t and plans the next one. Everything in it comes from hashes of the
// terminal and its count, never from the stream that draws sales.
func (w *walk) heartbeat(i int, t int64) *fleet.Heartbeat {
	f, l, own := w.f, &w.live[i], &w.f.terminals[i]
	z := &w.zones[own.acquirer]
	now := f.o.Start.UnixMilli() + t
	if l.reboot {
		// The start was some seconds ago: 8 to 30, as started says.
		l.reboot, l.seq, l.ok, l.no = false, 0, 0, 0
		l.boot = now/1000 - 8
	}
	m, device := &f.merchants[own.merchant], &models[own.model]
	noise := mix(own.hash, saltBeat, uint64(l.boot)<<20|uint64(l.seq))
	h := &fleet.Heartbeat{
		TS: now, EverySec: int64(f.o.Heartbeat.Seconds()), Boot: l.boot, Seq: int64(l.seq),
		Merchant: m.mid, Model: device.id, Serial: serial(*device, i), App: apps[own.app].name, OS: device.os, Params: f.params(i),
		NetType: networks[own.net].name, RTTms: int64(float64(own.rtt) * math.Exp(0.25*normal(noise))), HostOK: true,
		Printer: "ok", Reader: "ok", Scanner: "ok", PINPad: "ok", Screen: "ok",
		Battery: battery(device, own.hash, z.local(t)), StorageMB: 700 + int64(own.hash>>16%2400) - t/msDay,
		Approved: int64(l.ok), Declined: int64(l.no),
		Fields: fleet.HasEvery | fleet.HasRTT | fleet.HasHostOK | fleet.HasBattery | fleet.HasTamper | fleet.HasStorage | fleet.HasTotals,
	}
	h.StorageMB = max(h.StorageMB, 64)
	if unit(mix(own.hash, saltTerminal, uint64(z.local(t)/(3*60*msMinute)))) < 0.004 { // for three hours, now and then
		h.Printer = "paper_out"
	}
	if networks[own.net].name != "eth" {
		h.RSSI = int64(own.rssi) + int64(noise>>40%9) - 4
		h.Fields |= fleet.HasRSSI
	}
	if own.net < onSIM {
		h.ICCID, h.Cell = f.sim(i, false), cell(carriers[own.carrier], m.hash)
	}
	for n := range f.faults {
		if x := &f.faults[n]; x.active(t) && f.in(x, i) {
			f.afflict(h, x, i, noise)
		}
	}
	l.seq++
	jitter := int64(scramble(noise+1)%401) - 200
	l.beat = max(t+1, t+f.o.Heartbeat.Milliseconds()+jitter)
	if on, next := f.powered(i, l.beat, z); !on {
		l.beat, l.reboot = w.started(i, next), true
	}
	return h
}

// afflict shows a fault in a heartbeat, where its cause can be seen there.
func (f *Fleet) afflict(h *fleet.Heartbeat, x *fault, i int, noise uint64) {
	own := &f.terminals[i]
	if x.hostDown {
		h.HostOK = false
		h.RTTms = 4000 + int64(noise>>24%6000)
		if h.Fields.Has(fleet.HasRSSI) {
			h.RSSI = -112 + int64(noise>>48%7)
		}
	}
	if x.hardware {
		switch own.hash % 3 {
		case 0:
			h.Reader = "fault"
		case 1:
			h.PINPad = "fault"
		default:
			h.Printer, h.Scanner = "fault", "fault"
		}
		h.Battery = min(h.Battery, 9)
	}
	if x.params {
		h.Params = paramsWrong.name
	}
	if x.mid {
		h.Merchant = f.wrongMID(h.Merchant)
	}
	if x.moved && own.net < onSIM {
		h.ICCID, h.Cell = f.sim(i, true), cell(carriers[own.carrier], mix(own.hash, saltSIM, 2))
	}
}

// sim is the serial number of a terminal's SIM, or of another that was put in its place.
func (f *Fleet) sim(i int, another bool) string {
	n, h := i, f.terminals[i].hash
	if another {
		n, h = i+MaxTerminals, mix(h, saltSIM, 1)
	}
	return iccid(carriers[f.terminals[i].carrier], h, n)
}

// battery sinks during the day and is charged at night; a terminal on the mains has 100.
func battery(m *model, h uint64, local int64) int64 {
	if !m.portable {
		return 100
	}
	hour := float64(local%msDay) / float64(60*msMinute)
	drain := 2 + float64(h>>8%25)/10 // percent an hour
	return int64(max(12, min(100, 100-drain*max(0, hour-8))))
}
