package simulate

// The tables below are what the fleet is drawn from. Weights are relative within their table.

// city is a place with the code that merchant numbers carry in digits 4 to 7.
type city struct {
	code, name string
}

type region struct {
	id     string
	weight float64
	cities []city
}

var regions = []region{
	{"guangdong", 22, []city{{"5810", "广州"}, {"5840", "深圳"}, {"6030", "佛山"}, {"5880", "东莞"}}},
	{"jiangsu", 15, []city{{"3010", "南京"}, {"3050", "苏州"}, {"3020", "无锡"}, {"3060", "南通"}}},
	{"zhejiang", 14, []city{{"3310", "杭州"}, {"3320", "宁波"}, {"3330", "温州"}, {"3380", "金华"}}},
	{"shandong", 13, []city{{"4510", "济南"}, {"4520", "青岛"}, {"4560", "烟台"}, {"4580", "潍坊"}}},
	{"shanghai", 11, []city{{"2900", "上海"}, {"2901", "浦东"}, {"2902", "闵行"}, {"2903", "松江"}}},
	{"beijing", 10, []city{{"1000", "北京"}, {"1001", "朝阳"}, {"1002", "海淀"}, {"1003", "通州"}}},
	{"sichuan", 8, []city{{"6510", "成都"}, {"6590", "绵阳"}, {"6580", "德阳"}, {"6730", "南充"}}},
	{"hubei", 7, []city{{"5210", "武汉"}, {"5260", "宜昌"}, {"5280", "襄阳"}, {"5370", "荆州"}}},
}

// trade is a kind of shop: its merchant category code (ISO 18245), usual hours in minutes of the local day, and the
// median amount of a sale in fen.
type trade struct {
	mcc, name   string
	weight      float64
	open, close int
	median      float64
}

const day = 24 * 60 // minutes

var trades = []trade{
	{"5812", "餐厅", 22, 10 * 60, 22 * 60, 8800},
	{"5411", "超市", 17, 8 * 60, 22 * 60, 6500},
	{"5331", "便利店", 14, 0, day, 2300},
	{"5311", "百货", 7, 10 * 60, 21*60 + 30, 28000},
	{"5651", "服装店", 9, 10 * 60, 21 * 60, 23900},
	{"5912", "药店", 8, 8*60 + 30, 21 * 60, 5900},
	{"5541", "加油站", 5, 0, day, 26000},
	{"7011", "酒店", 4, 0, day, 38800},
	{"5732", "电器行", 4, 9*60 + 30, 20*60 + 30, 89900},
	{"7230", "美发店", 6, 10 * 60, 22 * 60, 6800},
	{"8099", "诊所", 2, 8 * 60, 18 * 60, 18000},
	{"7299", "家政服务", 2, 9 * 60, 18 * 60, 12000},
}

var brands = []string{"好邻居", "福满多", "锦绣", "永兴", "鑫源", "百家惠", "星河", "四季", "金桂", "老街坊", "云集", "同乐", "江南", "海悦", "盛达", "小时光"}

// intensity is the flow of customers by the hour of the local day; it is normalised over a shop's own hours.
var intensity = [24]float64{
	0.15, 0.10, 0.08, 0.08, 0.10, 0.20, 0.45, 0.80, 0.90, 0.95, 1.10, 1.50,
	1.70, 1.30, 1.05, 1.05, 1.15, 1.45, 1.80, 1.75, 1.40, 1.00, 0.60, 0.30,
}

// model is a kind of terminal; serial is the prefix of its serial numbers.
type model struct {
	id, vendor, os, serial string
	weight                 float64
	portable               bool
}

var models = []model{
	{"A920", "PAX", "10", "PXA", 26, true},
	{"N910", "Newland", "7.1.2", "NLD", 19, true},
	{"P2", "Sunmi", "11", "SUN", 17, true},
	{"APOS-A8", "Landi", "7.1.2", "LDA", 14, true},
	{"A910", "PAX", "8.1", "PXB", 10, true},
	{"X990", "Verifone", "10", "VFX", 8, true},
	{"K9", "Centerm", "5.1.1", "CTK", 6, false},
}

// apps are the versions of the payment application, newest first; the first is the catalogue's target.
var apps = []share{{"2.4.1", 34}, {"2.4.0", 31}, {"2.3.7", 26}, {"2.2.9", 9}}

const appMin = "2.3.0"

// networks; the first three ride on a SIM.
var networks = []share{{"4g", 61}, {"5g", 5}, {"2g", 3}, {"wifi", 21}, {"eth", 10}}

const onSIM = 3

// carrier is a mobile network: its MNC, and the digits 5 and 6 of its ICCIDs.
type carrier struct {
	mnc, iin string
	weight   float64
}

var carriers = []carrier{{"00", "00", 58}, {"01", "01", 22}, {"11", "11", 20}}

// approvedPer is how many of a hundred transactions are approved; the rest is divided by declines.
const approvedPer = 96.5

// declines is the everyday mix of field 39. 03 is 0.002 of the 3.5 in a hundred: about two in 100,000 transactions;
// the other watched codes, 58 and 97, are as rare.
var declines = []share{
	{"51", 1.36}, {"55", 0.58}, {"61", 0.31}, {"91", 0.17}, {"57", 0.15}, {"65", 0.14}, {"05", 0.13}, {"14", 0.10},
	{"75", 0.10}, {"54", 0.08}, {"62", 0.06}, {"68", 0.06}, {"30", 0.05}, {"96", 0.04}, {"12", 0.03}, {"98", 0.03},
	{"01", 0.03}, {"41", 0.02}, {"45", 0.02}, {"38", 0.02}, {"94", 0.01}, {"A0", 0.003}, {"03", 0.002}, {"58", 0.001},
	{"97", 0.001}, {"99", 0.001},
}

var entries = []share{{"contactless", 41}, {"qr", 33}, {"chip", 21}, {"magstripe", 4.5}, {"manual", 0.5}}

var kinds = []share{{"sale", 95.5}, {"refund", 1.6}, {"query", 1.2}, {"preauth", 0.9}, {"void", 0.8}}

// codeTable is the whole mix as a cumulative table, approval first.
var codeTable = func() []share {
	rows := []share{{"00", approvedPer}}
	total := 0.0
	for _, d := range declines {
		total += d.weight
	}
	for _, d := range declines {
		rows = append(rows, share{d.name, d.weight * (100 - approvedPer) / total})
	}
	return rows
}()

const codeApproved = "00"

// The weights of the tables above, in the form that draw takes.
var (
	regionShares  = sharesOf(regions, func(r region) share { return share{r.id, r.weight} })
	tradeShares   = sharesOf(trades, func(t trade) share { return share{t.mcc, t.weight} })
	modelShares   = sharesOf(models, func(m model) share { return share{m.id, m.weight} })
	carrierShares = sharesOf(carriers, func(c carrier) share { return share{c.mnc, c.weight} })
)

func sharesOf[T any](rows []T, of func(T) share) []share {
	shares := make([]share, len(rows))
	for i, r := range rows {
		shares[i] = of(r)
	}
	return shares
}
