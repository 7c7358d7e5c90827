//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"

	"example.com/gmailgrant/bench/internal/report"
)

// onePage is how many messages the rows of one page ask for.
const onePage = 100

// largestPage is the most that Gmail gives.
const largestPage = 500

// networks are measured one after another.
var networks = []network{
	{roundTrip: roundTrip, callTime: callTime, tokenTime: time.Hour, series: []series{
		{"start", 12, probesOfStart},
		{"start-evicted", 4, probesOfEvictedStart},
		{"start-sixth", 4, probesOfSlowStart},
		{"first", 4, probesOfFirst},
		{"first-sixth", 2, probesOfSlowFirst},
		{"warm", 4, probesOfWarm},
		{"all", 1, probesOfAll},
		{"details", 1, probesOfDetails},
		{"memory", 1, probesOfMemory},
	}},
	{roundTrip: roundTrip, callTime: callTime, tokenTime: 30 * time.Second, series: []series{ // too short to be used
		{"first-refresh", 4, probesOfFirst},
	}},
	{tokenTime: time.Hour, series: []series{
		{"authurl-load", 4, probesOfAuthURLLoad},
		{"list-load", 2, probesOfListLoad},
		{"list-sixth", 2, probesOfSlowList},
	}},
}

func probesOfStart(l *lab) []probe {
	return []probe{
		fresh("gmailgrant", l.functions("listmessages"), nil, preflight(), nil),
		fresh("hello", l.hello(), nil, preflight(), nil),
		fresh("hello, newer", l.newer(), nil, preflight(), nil),
		fresh("Node", l.node(false), nil, preflight(), nil),
	}
}

func probesOfEvictedStart(l *lab) []probe {
	return []probe{
		fresh("gmailgrant", l.functions("listmessages"), nil, preflight(), evict),
		fresh("hello", l.hello(), nil, preflight(), evict),
	}
}

func probesOfSlowStart(l *lab) []probe {
	return []probe{
		fresh("gmailgrant", l.functions("listmessages"), l.sixth, preflight(), nil),
		fresh("hello", l.hello(), l.sixth, preflight(), nil),
	}
}

func probesOfFirst(l *lab) []probe {
	return []probe{
		fresh("gmailgrant", l.functions("listmessages"), nil, l.google.list(onePage), nil),
		fresh("plain Go", l.plain(), nil, peerList(onePage, ""), nil),
	}
}

func probesOfSlowFirst(l *lab) []probe {
	return []probe{
		fresh("gmailgrant", l.functions("listmessages"), l.sixth, l.google.list(onePage), nil),
		fresh("plain Go", l.plain(), l.sixth, peerList(onePage, ""), nil),
	}
}

func probesOfWarm(l *lab) []probe {
	return []probe{
		warm("gmailgrant", l.functions("listmessages"), l.google.list(onePage), l.google.list(onePage)),
		direct("one call", 1, onePage),
		warm("plain Go", l.plain(), peerList(onePage, ""), peerList(onePage, "")),
	}
}

func probesOfAll(l *lab) []probe {
	return []probe{
		warm("gmailgrant", l.functions("listmessages"), l.google.list(onePage), l.google.listAll(l.size.mailbox)),
		direct("calls in a row", l.size.mailbox/largestPage, largestPage),
	}
}

func probesOfDetails(l *lab) []probe {
	return []probe{
		warm("gmailgrant", l.functions("listmessages"), l.google.list(onePage), l.google.details(l.size.details)),
		warm("plain Go", l.plain(), peerList(onePage, ""), peerList(l.size.details, "metadata")),
	}
}

func probesOfMemory(l *lab) []probe {
	n := l.size.connections
	return []probe{
		peak("gmailgrant", l.functions("listmessages"), n, l.google.listAll(l.size.mailbox)),
		peak("Node, kept", l.node(true), n, peerList(l.size.mailbox, "")),
	}
}

func probesOfAuthURLLoad(l *lab) []probe {
	n := l.size.connections
	return []probe{
		loaded("gmailgrant", l.functions("authurl"), nil, n, l.google.authURL()),
		loaded("hello", l.hello(), nil, n, hello()),
	}
}

func probesOfListLoad(l *lab) []probe {
	n := l.size.connections
	return []probe{
		loaded("gmailgrant", l.functions("listmessages"), nil, n, l.google.list(onePage)),
		loaded("proxy", l.proxy(), nil, n, l.google.proxied(onePage)),
		loaded("Node", l.node(false), nil, n, peerList(onePage, "")),
		loaded("Node, kept", l.node(true), nil, n, peerList(onePage, "")),
	}
}

func probesOfSlowList(l *lab) []probe {
	return []probe{
		loaded("gmailgrant", l.functions("listmessages"), l.sixth, 1, l.google.list(onePage)),
		loaded("proxy", l.proxy(), l.sixth, 1, l.google.proxied(onePage)),
	}
}

// Floors of the first answer of a fresh process: what must follow one another
// however fast everything else is. The session can be opened only with the seal key,
// and only the session says whose grant to read. All other connections are made
// meanwhile.
const (
	connecting   = 2 * roundTrip // TCP, TLS 1.3
	floor        = connecting + 3*oneCall
	floorRefresh = floor + oneCall
)

// The names of samples that several rows use.
const (
	startOurs  = "start/gmailgrant/ms"
	firstOurs  = "first/gmailgrant/ms"
	memoryOurs = "memory/gmailgrant/MB"
	listOurs   = "list-load/gmailgrant/requests/s"
	listCPU    = "list-load/gmailgrant/CPU µs"
)

// rows are those of the table.
func rows(s size) []report.Goal {
	return slices.Concat(rowsOfStart(), rowsOfLists(s), rowsOfLoad(s), rowsBeside())
}

func rowsOfStart() []report.Goal {
	const hello, mustFollow = "the framework's hello", "the calls that must follow one another"
	return []report.Goal{
		{Title: "cold start", Unit: "ms", Subject: startOurs, Reference: "start/hello/ms", Versus: hello, Most: 1.5},
		{Title: "cold start", Unit: "ms", Subject: startOurs, Reference: "start/hello, newer/ms", Versus: "hello with our dependencies"},
		{Title: "cold start, program not in the page cache", Unit: "ms", Subject: "start-evicted/gmailgrant/ms", Reference: "start-evicted/hello/ms", Versus: hello, Most: 1.5},
		{Title: "cold start at ⅙ CPU", Unit: "ms", Subject: "start-sixth/gmailgrant/ms", Reference: "start-sixth/hello/ms", Versus: hello, Most: 1.5},
		{Title: "cold start", Unit: "ms", Subject: startOurs, Reference: "start/Node/ms", Versus: "Node", Most: 1. / 20},
		{Title: "first list of a fresh process", Unit: "ms", Subject: firstOurs, Constant: milliseconds(floor), Versus: mustFollow, Most: 1.25},
		{Title: "first list, access token expired", Unit: "ms", Subject: "first-refresh/gmailgrant/ms", Constant: milliseconds(floorRefresh), Versus: mustFollow, Most: 1.25},
		{Title: "first list at ⅙ CPU", Unit: "ms", Subject: "first-sixth/gmailgrant/ms", Reference: "first-sixth/plain Go/ms", Versus: "plain Go", Most: 0.7},
	}
}

func rowsOfLists(s size) []report.Goal {
	all := fmt.Sprintf("%d IDs", s.mailbox)
	details := fmt.Sprintf("metadata of %d messages", s.details)
	inARow := fmt.Sprintf("%d calls of Gmail in a row", s.mailbox/largestPage)
	memory := fmt.Sprintf("peak memory, %d full lists at once", s.connections)
	return []report.Goal{
		{Title: "warm list, one page", Unit: "ms", Subject: "warm/gmailgrant/ms", Reference: "warm/one call/ms", Versus: "one call of Gmail", Most: 1.05},
		{Title: all, Unit: "ms", Subject: "all/gmailgrant/ms", Reference: "all/calls in a row/ms", Versus: inARow, Most: 1.1},
		{Title: details, Unit: "ms", Subject: "details/gmailgrant/ms", Reference: "details/plain Go/ms", Versus: "plain Go", Most: 1. / 30},
		{Title: memory, Unit: "MB", Subject: memoryOurs, Constant: 64, Versus: "64 MB", Most: 1},
		{Title: memory, Unit: "MB", Subject: memoryOurs, Reference: "memory/Node, kept/MB", Versus: "Node, kept", Most: 1. / 8},
	}
}

func rowsOfLoad(s size) []report.Goal {
	authurl := fmt.Sprintf("authurl, %d at once", s.connections)
	list := fmt.Sprintf("list of one page, %d at once", s.connections)
	return []report.Goal{
		{Title: authurl, Unit: "requests/s", Subject: "authurl-load/gmailgrant/requests/s", Reference: "authurl-load/hello/requests/s", Versus: "the framework's hello", Least: 0.4},
		{Title: list, Unit: "requests/s", Subject: listOurs, Reference: "list-load/proxy/requests/s", Versus: "a reverse proxy", Least: 0.5},
		{Title: list, Unit: "requests/s", Subject: listOurs, Reference: "list-load/Node/requests/s", Versus: "Node", Least: 10},
		{Title: list, Unit: "requests/s", Subject: listOurs, Reference: "list-load/Node, kept/requests/s", Versus: "Node, kept", Least: 10},
		{Title: "first byte of a warm list at ⅙ CPU", Unit: "ms", Subject: "list-sixth/gmailgrant/first byte ms", Reference: "list-sixth/proxy/first byte ms", Versus: "a reverse proxy", Most: 2.5},
	}
}

// rowsBeside have no goal: they say more of what the others are about.
func rowsBeside() []report.Goal {
	return []report.Goal{
		{Title: "first list of a fresh process", Unit: "ms", Subject: firstOurs, Reference: "first/plain Go/ms", Versus: "plain Go"},
		{Title: "warm list, one page", Unit: "ms", Subject: "warm/gmailgrant/ms", Reference: "warm/plain Go/ms", Versus: "plain Go"},
		{Title: "CPU of an authurl", Unit: "µs", Subject: "authurl-load/gmailgrant/CPU µs", Reference: "authurl-load/hello/CPU µs", Versus: "the framework's hello"},
		{Title: "CPU of a list of one page", Unit: "µs", Subject: listCPU, Reference: "list-load/proxy/CPU µs", Versus: "a reverse proxy"},
		{Title: "CPU of a list of one page", Unit: "µs", Subject: listCPU, Reference: "list-load/Node/CPU µs", Versus: "Node"},
		{Title: "CPU of a list of one page", Unit: "µs", Subject: listCPU, Reference: "list-load/Node, kept/CPU µs", Versus: "Node, kept"},
		{Title: "use of its CPU under that load", Unit: "%", Subject: "list-load/gmailgrant/CPU %", Reference: "list-load/proxy/CPU %", Versus: "a reverse proxy"},
		{Title: "use of its CPU under the load of authurl", Unit: "%", Subject: "authurl-load/gmailgrant/CPU %", Reference: "authurl-load/hello/CPU %", Versus: "the framework's hello"},
	}
}
