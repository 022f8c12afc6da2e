package alerter

import (
	"slices"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// maxSteps bounds the steps of one message: on-call reads them on a telephone.
const maxSteps = 6

// NextSteps returns what to do about a transition, in order and in words. It takes the advice of the best-ranked cause
// and, where a second is at least half as likely, the beginning of that one's. Without a decided cause the steps
// follow from where the declines are. What is over gets none.
func NextSteps(t *fleet.Transition, lang Language) []string {
	if t.Step == fleet.StepResolved || t.Step == fleet.StepAbsorbed {
		return nil
	}
	steps := causeSteps(t.Causes)
	if len(steps) == 0 {
		steps = scopeSteps(t)
	}
	out := make([]string, 0, maxSteps)
	for _, s := range steps {
		if text := s.In(lang); len(out) < maxSteps && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

func causeSteps(guesses []fleet.CauseGuess) []Words {
	// Stable: of two equally likely the caller's order stands.
	ranked := slices.Clone(guesses)
	slices.SortStableFunc(ranked, func(a, b fleet.CauseGuess) int {
		switch {
		case a.Weight > b.Weight:
			return -1
		case a.Weight < b.Weight:
			return 1
		}
		return 0
	})
	if len(ranked) == 0 || ranked[0].ID == CauseUnknown {
		return nil
	}
	best, ok := CauseByID(ranked[0].ID)
	if !ok {
		return nil
	}
	steps := slices.Clone(best.Advice)
	if len(ranked) > 1 && ranked[1].ID != CauseUnknown && ranked[1].Weight >= ranked[0].Weight/2 {
		if second, ok := CauseByID(ranked[1].ID); ok {
			steps = append(steps, second.Advice[:min(2, len(second.Advice))]...)
		}
	}
	return steps
}

// place is the sort of scope that an incident has, narrowest attribute first.
type place string

const (
	placeTerminal place = "terminal"
	placeMerchant place = "merchant"
	placeSoftware place = "software" // an application version or a model
	placeRegion   place = "region"
	placeAcquirer place = "acquirer"
	placeFleet    place = "fleet"
)

// placeOf names the sort of a scope. Where the alternatives of an OR differ, the widest decides: its steps help with
// the others too.
func placeOf(s fleet.Scope) place {
	order := []place{placeTerminal, placeMerchant, placeSoftware, placeRegion, placeAcquirer, placeFleet}
	widest := -1
	for _, and := range s {
		at := slices.Index(order, placeOfOne(and))
		widest = max(widest, at)
	}
	if widest < 0 {
		return placeFleet
	}
	return order[widest]
}

func placeOfOne(and map[string]string) place {
	switch {
	case and["terminal"] != "":
		return placeTerminal
	case and["merchant"] != "":
		return placeMerchant
	case and["app"] != "" || and["model"] != "":
		return placeSoftware
	case and["region"] != "":
		return placeRegion
	case and["acquirer"] != "":
		return placeAcquirer
	}
	return placeFleet
}

func scopeSteps(t *fleet.Transition) []Words {
	switch t.Kind {
	case fleet.IncidentSilence:
		return silenceSteps
	case fleet.IncidentPipeline:
		return pipelineSteps
	case fleet.IncidentDeadTill:
		return placeSteps[placeTerminal]
	}
	return placeSteps[placeOf(t.Scope)]
}

var placeSteps = map[place][]Words{
	placeTerminal: {
		{"Phone the shop before it phones you, and ask what the terminal's screen shows", "先主动致电商户，询问终端屏幕提示"},
		{"Compare the terminal's merchant and terminal number with the registry", "将终端上的商户号、终端号与登记信息核对"},
		{"Sign on again and verify with a test sale; if it declines, lend a spare terminal", "重新签到并做测试交易；仍被拒则提供备用机"},
	},
	placeMerchant: {
		{"Call the acquirer with the merchant number: ask for its status, and since when", "持商户号致电收单机构：查询状态及起始时间"},
		{"Compare the number on the shop's terminals with the registry", "将该商户终端上的商户号与登记信息核对"},
		{"Tell the shop what you found, and verify with a test sale after the correction", "把结果告知商户，更正后做测试交易"},
	},
	placeSoftware: {
		{"Halt the roll-out of this version or of its parameters now", "立即暂停该版本或相关参数的推送"},
		{"Compare an affected terminal with one of the same shop or region on another version", "将受影响终端与同商户或同地区其他版本的终端对比"},
		{"Go back to the last good version on one terminal, verify with a test sale, then on the others in batches", "先在一台终端上退回上一可用版本并做测试交易，再分批回退"},
	},
	placeRegion: {
		{"Ask the region's agent what was changed there today: installations, parameters, lines", "询问该地区服务商今天的变更：装机、参数、线路"},
		{"Check whether the region's terminals reach the acquirer's host", "检查该地区终端能否连接收单机构主机"},
		{"Call the acquirer: is a branch or a line of that region disturbed", "致电收单机构：该地区分支或线路是否异常"},
	},
	placeAcquirer: {
		{"Call the acquirer's duty desk: is there an outage, maintenance or a change of merchant data", "致电收单机构值班台：是否故障、维护或商户资料变更"},
		{"Hold back changes of terminals: the cause is most likely not there", "暂不改动终端，原因多半不在终端"},
		{"Tell the shops, and watch whether other acquirers stay normal", "通知商户，并观察其他收单机构是否正常"},
	},
	placeFleet: {
		{"Look at what all have in common: the switch, the gateway, a change made by you today", "查共同点：转接方、网关、我方今天的变更"},
		{"Undo your own last change first, if there was one", "如有我方变更，先回退"},
		{"Call the acquirers' duty desks, the largest first", "致电各收单机构值班台，从交易量最大的开始"},
	},
}

var silenceSteps = []Words{
	{"Check whether the terminals or gateways can reach Tillwatch: network, broker, credentials", "检查终端或网关能否连到Tillwatch：网络、消息服务、凭据"},
	{"Ask the acquirer or gateway whether transactions still flow", "向收单机构或网关确认交易是否仍在进行"},
	{"Until it is heard again, treat declines of this scope as unseen", "恢复之前，该范围内的拒绝视为不可见"},
}

var pipelineSteps = []Words{
	{"Run tillwatch doctor on the host that is named here", "在此处所指的主机上运行 tillwatch doctor"},
	{"Look at disk, NATS and InfluxDB of that host; what was received is kept and is processed later", "检查该主机的磁盘、NATS和InfluxDB；已收到的数据会保留并补处理"},
	{"While it lasts, alerts may be late", "期间告警可能延迟"},
}
