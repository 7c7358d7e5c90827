//go:build linux

package main

import (
	"fmt"
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
		{"start", 4, probesOfStart},
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
		{"authurl-load", 2, probesOfAuthURLLoad},
		{"list-load", 2, probesOfListLoad},
		{"list-sixth", 2, probesOfSlowList},
	}},
}

func probesOfStart(l *lab) []probe {
	return []probe{
		fresh("gmailgrant", l.functions("listmessages"), nil, preflight(), nil),
		fresh("hello", l.hello(), nil, preflight(), nil),
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
		warm("gmailgrant", l.functions("listmessages"), l.google.list(onePage)),
		direct("one call", 1, onePage),
		warm("plain Go", l.plain(), peerList(onePage, "")),
	}
}

func probesOfAll(l *lab) []probe {
	return []probe{
		warm("gmailgrant", l.functions("listmessages"), l.google.listAll(l.size.mailbox)),
		direct("calls in a row", l.size.mailbox/largestPage, largestPage),
	}
}

func probesOfDetails(l *lab) []probe {
	return []probe{
		warm("gmailgrant", l.functions("listmessages"), l.google.details(l.size.details)),
		fresh("plain Go", l.plain(), nil, peerList(l.size.details, "metadata"), nil),
	}
}

func probesOfMemory(l *lab) []probe {
	n := l.size.connections
	return []probe{
		peak("gmailgrant", l.functions("listmessages"), n, l.google.listAll(l.size.mailbox)),
		peak("Node", l.node(true), n, peerList(l.size.mailbox, "")),
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
		loaded("Node, all kept", l.node(true), nil, n, peerList(onePage, "")),
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

// goals are the rows of the table.
func goals(s size) []report.Goal {
	ms := func(d time.Duration) float64 { return milliseconds(d) }
	return []report.Goal{
		{Title: "cold start", Unit: "ms", Subject: "start/gmailgrant/ms", Reference: "start/hello/ms", Versus: "the framework's hello", Most: 1.5},
		{Title: "cold start, binary not in the page cache", Unit: "ms", Subject: "start-evicted/gmailgrant/ms", Reference: "start-evicted/hello/ms", Versus: "the framework's hello", Most: 1.5},
		{Title: "cold start at ⅙ CPU", Unit: "ms", Subject: "start-sixth/gmailgrant/ms", Reference: "start-sixth/hello/ms", Versus: "the framework's hello", Most: 1.5},
		{Title: "cold start", Unit: "ms", Subject: "start/gmailgrant/ms", Reference: "start/Node/ms", Versus: "Node", Most: 1. / 20},
		{Title: "first list of a fresh process", Unit: "ms", Subject: "first/gmailgrant/ms", Constant: ms(floor), Versus: "calls that must follow one another", Most: 1.25},
		{Title: "first list, access token expired", Unit: "ms", Subject: "first-refresh/gmailgrant/ms", Constant: ms(floorRefresh), Versus: "calls that must follow one another", Most: 1.25},
		{Title: "first list at ⅙ CPU", Unit: "ms", Subject: "first-sixth/gmailgrant/ms", Reference: "first-sixth/plain Go/ms", Versus: "plain Go", Most: 0.7},
		{Title: "warm list, one page", Unit: "ms", Subject: "warm/gmailgrant/ms", Reference: "warm/one call/ms", Versus: "one call of Gmail", Most: 1.05},
		{Title: fmt.Sprintf("%d IDs", s.mailbox), Unit: "ms", Subject: "all/gmailgrant/ms", Reference: "all/calls in a row/ms", Versus: fmt.Sprintf("%d calls in a row", s.mailbox/largestPage), Most: 1.1},
		{Title: fmt.Sprintf("metadata of %d messages", s.details), Unit: "ms", Subject: "details/gmailgrant/ms", Reference: "details/plain Go/ms", Versus: "plain Go", Most: 1. / 30},
		{Title: fmt.Sprintf("authurl, %d at once", s.connections), Unit: "requests/s", Subject: "authurl-load/gmailgrant/requests/s", Reference: "authurl-load/hello/requests/s", Versus: "the framework's hello", Least: 0.4},
		{Title: fmt.Sprintf("list of one page, %d at once", s.connections), Unit: "requests/s", Subject: "list-load/gmailgrant/requests/s", Reference: "list-load/proxy/requests/s", Versus: "httputil.ReverseProxy", Least: 0.5},
		{Title: fmt.Sprintf("list of one page, %d at once", s.connections), Unit: "requests/s", Subject: "list-load/gmailgrant/requests/s", Reference: "list-load/Node/requests/s", Versus: "Node", Least: 10},
		{Title: fmt.Sprintf("list of one page, %d at once", s.connections), Unit: "requests/s", Subject: "list-load/gmailgrant/requests/s", Reference: "list-load/Node, all kept/requests/s", Versus: "Node, all kept", Least: 10},
		{Title: fmt.Sprintf("peak memory, %d full lists at once", s.connections), Unit: "MB", Subject: "memory/gmailgrant/MB", Constant: 64, Versus: "64 MB", Most: 1},
		{Title: fmt.Sprintf("peak memory, %d full lists at once", s.connections), Unit: "MB", Subject: "memory/gmailgrant/MB", Reference: "memory/Node/MB", Versus: "Node, all kept", Most: 1. / 8},
		{Title: "first byte of a warm list at ⅙ CPU", Unit: "ms", Subject: "list-sixth/gmailgrant/first byte ms", Reference: "list-sixth/proxy/first byte ms", Versus: "httputil.ReverseProxy", Most: 2.5},
	}
}
