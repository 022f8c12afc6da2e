package slack

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// code names a response code: 无效商户 (03).
func (w words) code(t *fleet.Transition) string {
	if t.Code == "" {
		return ""
	}
	meaning := ""
	if w.o.Meaning != nil {
		meaning = clean(w.o.Meaning(t.Acquirer, t.Code, w.o.Language))
	} else if t.Code == "03" {
		// ISO 8583:1987 field 39.
		meaning = w.say("Invalid merchant", "无效商户")
	}
	if meaning == "" {
		return w.say("Response code ", "应答码") + clean(t.Code)
	}
	return fmt.Sprintf("%s (%s)", meaning, clean(t.Code))
}

func (w words) title(t *fleet.Transition) string {
	where := w.place(t.Scope, 1)
	code := w.code(t)
	colon := w.say(": ", "：")
	switch t.Kind {
	case fleet.IncidentDeadTill:
		return join(w.say("Dead till", "终端笔笔被拒"), code) + colon + where
	case fleet.IncidentSilence:
		return w.say("Nothing heard", "无数据上报") + colon + where
	case fleet.IncidentPipeline:
		return w.say("Tillwatch itself", "Tillwatch自身异常") + colon + where
	case fleet.IncidentFinding:
		return w.say("Check", "检查发现问题") + colon + where
	}
	if code == "" {
		code = w.say("Declines", "交易被拒")
	}
	return code + colon + where
}

func join(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " · ")
}

func (w words) state(t *fleet.Transition) string {
	lasted := w.duration(time.Duration(t.At-t.Since) * time.Millisecond)
	switch t.Step {
	case fleet.StepOpened:
		return w.say("Opened ", "已开启，") + w.instant(t.At)
	case fleet.StepUpdated:
		return w.say("Ongoing for "+lasted, "持续中，已"+lasted)
	case fleet.StepResolved:
		return w.say("Resolved after "+lasted+", "+w.instant(t.At), "已恢复，历时"+lasted+"，"+w.instant(t.At))
	case fleet.StepAbsorbed:
		by := clean(t.AbsorbedBy)
		if by == "" {
			return w.say("Absorbed by a wider incident, which explains it", "已并入更大范围的事件")
		}
		return w.say("Absorbed by incident "+by+", which explains it", "已并入事件 "+by+"，由其解释")
	}
	return clean(string(t.Step))
}

func (w words) facts(t *fleet.Transition) []fact {
	var f []fact
	add := func(en, zh, value string) {
		if value != "" {
			f = append(f, fact{w.say(en, zh), value})
		}
	}
	if t.Since > 0 {
		add("Since", "开始时间", w.instant(t.Since))
	}
	if t.Observed > 0 || t.Kind == fleet.IncidentSpike {
		value := w.count(t.Observed, "decline", "declines", "笔")
		if t.Expected > 0 && !math.IsInf(t.Expected, 0) {
			value += w.say(fmt.Sprintf(" (normal: %.3g)", t.Expected), fmt.Sprintf("（正常：%.3g笔）", t.Expected))
		}
		add("Declines", "被拒笔数", value)
	}
	if t.Terminals > 0 || t.Merchants > 0 {
		add("Affected", "受影响", w.count(int64(t.Terminals), "terminal", "terminals", "台终端")+w.say(" of ", "，")+
			w.count(int64(t.Merchants), "merchant", "merchants", "家商户"))
	}
	if t.Transactions > 0 {
		add("Share of sales", "占交易比例", w.say(
			fmt.Sprintf("%s of %d transactions", percent(float64(t.Observed)/float64(t.Transactions)), t.Transactions),
			fmt.Sprintf("%s（共%d笔交易）", percent(float64(t.Observed)/float64(t.Transactions)), t.Transactions)))
	}
	if t.Explained > 0 {
		add("Explains", "解释比例", w.say(
			percent(t.Explained)+" of the acquirer's declines of this kind",
			"该收单机构同类被拒的"+percent(t.Explained)))
	}
	return f
}

// statusWords say what an acquirer answered about a merchant number, after "merchant number X".
var statusWords = map[string]struct{ en, zh, enSince, zhSince string }{
	string(fleet.MerchantCancelled): {"is cancelled", "已注销", "was cancelled on %s", "已于%s注销"},
	string(fleet.MerchantNotOpened): {"is not opened", "未开通", "is not opened (since %s)", "自%s起未开通"},
	string(fleet.MerchantSuspended): {"is suspended", "已被暂停", "was suspended on %s", "已于%s被暂停"},
	string(fleet.MerchantUnknown):   {"is unknown to it", "不存在", "is unknown to it (since %s)", "自%s起不存在"},
	string(fleet.MerchantActive):    {"is active", "状态正常", "is active since %s", "自%s起状态正常"},
}

// finding puts a finding into one sentence. What the acquirer says about a merchant number is said in both languages;
// other findings speak for themselves, in English.
func (w words) finding(f *fleet.Finding) string {
	s, ok := statusWords[f.Value]
	if f.Check != "merchant-status" || !ok || f.Merchant == "" {
		text := clean(f.Message)
		if text == "" {
			text = join(clean(f.Check), clean(f.Target()), clean(f.Value))
		}
		return text
	}
	en, zh := s.en, s.zh
	if f.Since > 0 {
		en, zh = fmt.Sprintf(s.enSince, w.day(f.Since)), fmt.Sprintf(s.zhSince, w.day(f.Since))
	}
	merchant := clean(f.Merchant)
	return w.say(
		fmt.Sprintf("The acquirer %s says merchant number %s %s", clean(f.Acquirer), merchant, en),
		fmt.Sprintf("收单机构 %s 答复：商户号 %s %s", clean(f.Acquirer), merchant, zh))
}

func (w words) cause(g fleet.CauseGuess) cause {
	title := clean(g.ID)
	if known, ok := alerter.CauseByID(g.ID); ok {
		title = known.Title.In(w.o.Language)
	}
	c := cause{text: title}
	if p := percent(g.Weight); p != "" && g.ID != alerter.CauseUnknown {
		c.text += w.say(" (", "（") + p + w.say(")", "）")
	}
	for _, list := range []struct {
		sign  string
		texts []string
	}{{"+ ", g.For}, {"− ", g.Against}} {
		for i, e := range list.texts {
			if i == maxEvidence {
				c.evidence = append(c.evidence, list.sign+w.more(len(list.texts)-i))
				break
			}
			c.evidence = append(c.evidence, list.sign+clean(e))
		}
	}
	return c
}

func (w words) footer(t *fleet.Transition) string {
	severity := clean(string(t.Severity))
	if w.zh() {
		switch t.Severity {
		case fleet.SeverityInfo:
			severity = "提示"
		case fleet.SeverityWarning:
			severity = "警告"
		case fleet.SeverityCritical:
			severity = "严重"
		}
	}
	return join(w.say("Incident ", "事件 ")+clean(t.Incident), fmt.Sprintf("#%d", t.N), severity, clean(t.Reason))
}
