//go:build linux

package main

import (
	"fmt"
	"path/filepath"
)

// A program is what is measured.
type program struct {
	binary string
	args   []string
	env    []string
	gentle bool // it is asked to end, rather than killed
}

// platform are the variables that all of them get.
func (l *lab) platform() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + l.dir,
		"GOOGLE_CLOUD_PROJECT=" + project,
		"SSL_CERT_FILE=" + filepath.Join(l.dir, "roots.pem"),
		"NODE_EXTRA_CA_CERTS=" + filepath.Join(l.dir, "ca.pem"),
	}
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// functions are ours with the settings of deploy/deploy.sh: one of them, or all
// three when target is empty, as on a developer's machine. Only the deadline is a
// later one, so that a busy machine does not cut lists short.
func (l *lab) functions(target string) program {
	p := program{binary: l.path("functions"), env: append(l.platform(),
		"BASE_URL="+baseURL,
		"ALLOWED_ORIGINS="+frontEnd,
		"RETURN_URLS="+returnURL,
		"SSL_CERT_DIR=/nonexistent",
		"GOGC=200",
		"LIST_DEADLINE=60s",
	)}
	if target != "" {
		p.env = append(p.env, "FUNCTION_TARGET="+target, "K_SERVICE="+target)
	}
	if target != "" && l.profiles != "" {
		l.profiled++
		p.binary, p.gentle = l.path("profiled"), true
		p.env = append(p.env, fmt.Sprintf("PROFILE=%s/%s-%d.pprof", l.profiles, target, l.profiled))
	}
	return p
}

// hello is the framework's hello; newer is it with the dependencies of this module.
func (l *lab) hello() program { return l.anyHello("hello") }
func (l *lab) newer() program { return l.anyHello("hello-newer") }

func (l *lab) anyHello(binary string) program {
	return program{binary: l.path(binary), env: append(l.platform(), "FUNCTION_TARGET=hello", "K_SERVICE=hello")}
}

func (l *lab) proxy() program {
	return program{binary: l.path("proxy"), env: append(l.platform(), "SSL_CERT_DIR=/nonexistent")}
}

func (l *lab) plain() program {
	return program{binary: l.path("plain"), env: append(l.platform(), "FUNCTION_TARGET=listmessages", "K_SERVICE=listmessages")}
}

// node is the peer in Node; with keep it keeps what can be kept between requests.
func (l *lab) node(keep bool) program {
	p := program{
		binary: "node",
		args:   []string{l.path("node/node_modules/.bin/functions-framework"), "--target=listmessages", "--source=" + l.path("node")},
		env:    append(l.platform(), "K_SERVICE=listmessages", "NODE_ENV=production"),
	}
	if keep {
		p.env = append(p.env, "KEEP=1")
	}
	return p
}
