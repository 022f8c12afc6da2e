package alerter

// Causes is the table of causes: eight of the field guide to 无效商户, the further ones met in the field, and unknown,
// which is last. Several steps begin with a backup: the record as it is now is the evidence, and often the way back.
var Causes = []Cause{
	{
		ID:     "merchant_info_wrong",
		Title:  Words{"Merchant details missing or mistyped on the terminal", "商户信息未录入或录入错误"},
		SeenIn: Words{"the merchant number in field 42 is unknown, or is not the one registered for this terminal; one or few terminals, often right after an installation or an edit", "报文42域的商户号不存在，或与该终端登记的商户号不一致；多为一台或少数终端，常在装机或改参之后"},
		Advice: []Words{
			{"Back up the terminal's present merchant and terminal number before touching them", "先备份终端当前的商户号和终端号"},
			{"Compare both numbers with the merchant agreement and correct them on the terminal", "与商户协议核对商户号、终端号，在终端上更正"},
			{"Sign on again and verify with a small test sale, then void it", "重新签到，做一笔小额测试交易并撤销，确认恢复"},
			{"Tell whoever entered the numbers, and check their other entries of that day", "告知录入人员，并复核其当天的其他录入"},
		},
	},
	{
		ID:     "parameters_wrong",
		Title:  Words{"System parameters wrong, or not applied after an update", "系统设置不当（参数错误或更新后未生效）"},
		SeenIn: Words{"the terminal's parameter fingerprint differs from the expected one; the declines start at a parameter push and follow its batch", "终端参数指纹与应有值不一致；拒绝从某次参数下发开始，并随其批次扩散"},
		Advice: []Words{
			{"Stop the parameter push that is under way", "暂停正在进行的参数下发"},
			{"Back up the present parameters, then restore the last set that worked on one terminal", "备份当前参数，先在一台终端上恢复最近可用的参数"},
			{"Verify with a test sale, then restore the others in batches", "测试交易成功后，再分批恢复其余终端"},
			{"Ask the system administrator before any further change", "再做任何修改前先请示系统管理员"},
		},
	},
	{
		ID:     "hardware_fault",
		Title:  Words{"Hardware fault on the terminal", "硬件故障"},
		SeenIn: Words{"the health fields of the heartbeat: printer, reader, scanner, PIN pad, screen, battery; faults before or with the declines; one terminal", "心跳中的设备状态：打印机、读卡器、扫码头、密码键盘、屏幕、电池；故障先于或伴随拒绝；通常只有一台"},
		Advice: []Words{
			{"Ask the shop to restart the terminal and to read out what its screen shows", "请商户重启终端，并报出屏幕提示"},
			{"Give the shop a spare terminal so that it can go on selling", "为商户提供备用机，先恢复收款"},
			{"Have the faulty part inspected, repaired or replaced by the terminal supplier", "联系终端厂商检测、维修或更换故障部件"},
			{"Put the terminal on the maintenance calendar", "列入定期维护计划"},
		},
	},
	{
		ID:     "software_conflict",
		Title:  Words{"Old or conflicting software on the terminal", "软件冲突（版本过旧或不兼容）"},
		SeenIn: Words{"one application version or model across many merchants; a version that is outdated or on the list of known conflicts", "同一应用版本或机型、跨多个商户；版本过旧或在已知冲突清单中"},
		Advice: []Words{
			{"Halt the roll-out of this version now", "立即暂停该版本的推送"},
			{"Back up one affected terminal, go back to the last good version on it, and verify with a test sale", "备份一台受影响终端，退回上一可用版本并做测试交易"},
			{"Roll the other terminals back in batches while watching this incident's count fall", "分批回退其余终端，观察本事件的拒绝数是否下降"},
			{"Report version, model and time of the first decline to the software supplier", "把版本、机型和首笔拒绝时间报给软件供应商"},
		},
	},
	{
		ID:     "merchant_not_active",
		Title:  Words{"The merchant number was never opened, or has been cancelled", "商户号未开通或已注销"},
		SeenIn: Words{"the acquirer's answer about the merchant number; all terminals of that merchant decline, close to every sale", "收单机构对商户号状态的答复；该商户的全部终端几乎笔笔被拒"},
		Advice: []Words{
			{"Call the acquirer with the merchant number: ask for its status, since when, and why", "持商户号致电收单机构：查询状态、起始时间及原因"},
			{"Have the number opened or reopened, or a new one issued and set on the terminals", "申请开通、恢复，或换发新商户号并更新到终端"},
			{"Tell the shop how long it will take and how it can take payment until then", "告知商户预计恢复时间及临时收款办法"},
			{"When the acquirer confirms, sign on and verify with a test sale", "收单机构确认后，重新签到并做测试交易"},
		},
	},
	{
		ID:     "account_blocked",
		Title:  Words{"The settlement account is frozen, or its balance insufficient", "账户被冻结或余额不足"},
		SeenIn: Words{"the acquirer's answer about account and balance; a low balance alone is weak evidence", "收单机构对账户状态和余额的答复；仅余额偏低属于弱证据"},
		Advice: []Words{
			{"Ask the acquirer whether the account is frozen, by whom, and what lifts it", "向收单机构确认账户是否冻结、由谁冻结、如何解冻"},
			{"Ask the merchant to top up, or to hand in what the bank asks for", "请商户补足余额，或按银行要求提交材料"},
			{"Verify with a test sale once the acquirer reports the account as normal", "收单机构确认账户正常后做测试交易"},
		},
	},
	{
		ID:     "terminal_or_network",
		Title:  Words{"The terminal is faulty or cannot reach the institution's server", "POS机终端或网络问题"},
		SeenIn: Words{"offline, host unreachable, weak signal, time-outs; codes 68, 91 or 98 beside 03", "离线、无法连接主机、信号弱、超时；03之外伴有68、91、98"},
		Advice: []Words{
			{"Ask the shop to check screen, power and network, and to try the other network (Wi-Fi or mobile)", "请商户检查屏幕、电源和网络，并切换网络（Wi-Fi或移动网络）重试"},
			{"Sign on again and verify with a test sale", "重新签到并做测试交易"},
			{"If it still declines, contact the terminal supplier and lend a spare terminal", "仍被拒绝则联系终端厂商，并提供备用机"},
		},
	},
	{
		ID:     "institution_outage",
		Title:  Words{"The payment institution's system is down or under maintenance", "支付机构系统故障或维护"},
		SeenIn: Words{"many merchants of one acquirer at once, across models and versions; 91, 92, 96, 98 rise too; its probe fails", "同一收单机构的大量商户同时出现，跨机型和版本；91、92、96、98同时上升；探测失败"},
		Advice: []Words{
			{"Call the institution's duty desk: is there an outage or maintenance, and until when", "致电支付机构值班台：是否故障或维护，预计何时恢复"},
			{"Tell the shops through your usual channel, and do not have terminals changed meanwhile", "按惯用渠道通知商户，期间不要改动终端"},
			{"Offer another means of payment until the count falls", "恢复前引导使用其他收款方式"},
			{"When it is over, check that the declines have stopped in every region", "恢复后确认各地区拒绝均已停止"},
		},
	},
	{
		ID:     "keys_lost",
		Title:  Words{"Working keys lost or out of step; a new sign-on is needed", "工作密钥丢失或不同步，需重新签到"},
		SeenIn: Words{"A0 or 99 beside 03; often after a restart or a long time offline", "03之外伴有A0或99；常见于重启或长时间离线之后"},
		Advice: []Words{
			{"Have the terminal sign on again (签到), which loads new working keys", "让终端重新签到，下载新的工作密钥"},
			{"If the sign-on fails, have the master key loaded again by the acquirer or supplier", "签到失败则由收单机构或厂商重新灌装主密钥"},
			{"Verify with a test sale", "做测试交易确认"},
		},
	},
	{
		ID:     "sim_or_place_changed",
		Title:  Words{"SIM card or place of the terminal changed", "换卡或移机（SIM卡或位置变更）"},
		SeenIn: Words{"another ICCID or radio cell than registered, in the heartbeats before the declines", "拒绝之前的心跳中，ICCID或基站与登记不符"},
		Advice: []Words{
			{"Ask the shop whether the terminal was moved or its SIM card exchanged, by whom and when", "询问商户是否移机或换卡、何人何时所为"},
			{"If it was allowed: register the new place or SIM card with the acquirer", "属正常变更的，向收单机构报备新位置或新卡"},
			{"If it was not: have the terminal put back or blocked, and report it as misuse", "非正常变更的，恢复原状或停用终端，并按违规上报"},
		},
	},
	{
		ID:     "dormant_cancelled",
		Title:  Words{"Cancelled automatically after months without a sale", "长期无交易被自动注销（睡眠商户）"},
		SeenIn: Words{"no approved sale for three to six months, then 03 from the first sale on", "三至六个月无成功交易，之后首笔即为03"},
		Advice: []Words{
			{"Call the acquirer: ask whether the merchant number was cancelled as dormant", "致电收单机构：确认是否因长期无交易被注销"},
			{"Have it reopened; the merchant may have to hand in its papers again", "申请恢复，商户可能需重新提交资料"},
			{"Look for other merchants of the same age without sales before they are cancelled too", "排查其他长期无交易的商户，避免同样被注销"},
		},
	},
	{
		ID:     "risk_control_ban",
		Title:  Words{"Stopped by risk control", "被风控停用"},
		SeenIn: Words{"the acquirer answers suspended, often after unusual amounts, hours or refunds", "收单机构答复为暂停，常在异常金额、时段或退款之后"},
		Advice: []Words{
			{"Ask the acquirer's risk control which rule was hit and what it needs as proof", "向收单机构风控部门确认触发的规则和所需证明"},
			{"Collect the sales slips and invoices with the merchant and send them in", "协助商户整理小票、发票等凭证并提交"},
			{"Do not move the shop to another merchant number meanwhile", "处理期间不要让商户换用其他商户号"},
		},
	},
	{
		ID:     "not_filed",
		Title:  Words{"Merchant not yet filed with UnionPay", "商户尚未在银联报备"},
		SeenIn: Words{"a newly opened merchant; the acquirer says active, the switch says 03 from the first sale on", "新开商户；收单机构答复正常，但转接方从首笔起即返回03"},
		Advice: []Words{
			{"Ask the acquirer for the filing's state with UnionPay and its expected day", "向收单机构查询银联报备状态及预计完成日期"},
			{"Have a rejected filing corrected and handed in again", "报备被退回的，更正后重新提交"},
			{"Verify with a test sale the day after it is filed", "报备完成次日做测试交易"},
		},
	},
	{
		ID:     CauseUnknown,
		Title:  Words{"Cause not decided by the evidence", "现有证据不足以判断原因"},
		SeenIn: Words{"no cause stands out", "没有突出的原因"},
		Advice: []Words{
			{"Take one affected terminal: compare its merchant and terminal number, version and parameters with the registry", "取一台受影响终端，将商户号、终端号、版本和参数与登记信息比对"},
			{"Call the acquirer with one merchant number and ask for its status", "持一个商户号致电收单机构查询状态"},
			{"Verify with a test sale after each single change", "每改一处即做一笔测试交易"},
		},
	},
}
