//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// How deploy/deploy.sh has the functions built. The framework's hello has the linker
// flags too, but cgo where there is a C compiler, which is the default.
const (
	linkerFlags = "-s -w"
	withoutC    = "CGO_ENABLED=0"
)

// build puts the programs into dir: functions, hello, hello-newer, proxy, plain, stub
// and profiled, and fetches what the Node peer needs.
func build(ctx context.Context, dir string) error {
	root, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	log.Print("building")
	if err := buildFunctions(ctx, root, dir); err != nil {
		return err
	}
	if err := buildHello(ctx, root, dir); err != nil {
		return err
	}
	for program, name := range map[string]string{"hello-newer": "hello", "proxy": "proxy", "plain": "plain", "stub": "stub", "profiled": "profiled"} {
		if err := run(ctx, root, "env", withoutC, "go", "build", "-ldflags", linkerFlags, "-o", filepath.Join(dir, program), "./bench/"+name); err != nil {
			return err
		}
	}
	if err := makeCertificates(dir); err != nil {
		return err
	}
	return buildNode(ctx, root, dir)
}

// buildFunctions builds what would be uploaded as Cloud Functions does.
func buildFunctions(ctx context.Context, root, dir string) error {
	source := filepath.Join(dir, "source")
	files, err := output(ctx, "go", "list", "-C", root, "-deps", "-f",
		`{{if and .Module .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}`, ".")
	if err != nil {
		return err
	}
	for _, file := range append(strings.Fields(files), filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")) {
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if err := copyFile(filepath.Join(source, name), file); err != nil {
			return err
		}
	}
	program := filepath.Join(dir, "functions")
	return run(ctx, root, "env", "GOOGLE_GOLDFLAGS="+linkerFlags, withoutC, "bash", ".ci/buildpack", source, program)
}

const framework = "github.com/GoogleCloudPlatform/functions-framework-go"

// buildHello builds hello in a module of its own, as whoever begins with the functions
// framework does: with the dependencies that the framework chose.
func buildHello(ctx context.Context, root, dir string) error {
	module := filepath.Join(dir, "hello-module")
	version, err := output(ctx, "go", "list", "-C", root, "-m", "-f", "{{.Version}}", framework)
	if err != nil {
		return err
	}
	if err := copyFile(filepath.Join(module, "main.go"), filepath.Join(root, "bench", "hello", "main.go")); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/hello"},
		{"mod", "edit", "-require", framework + "@" + version},
		{"mod", "tidy"},
		{"build", "-ldflags", linkerFlags, "-o", filepath.Join(dir, "hello"), "."},
	} {
		if err := run(ctx, module, "go", args...); err != nil {
			return err
		}
	}
	return nil
}

// buildNode has npm install what the lock file says, once.
func buildNode(ctx context.Context, root, dir string) error {
	node := filepath.Join(root, "bench", "node")
	installed, err := os.Stat(filepath.Join(node, "node_modules", ".package-lock.json"))
	lock, err2 := os.Stat(filepath.Join(node, "package-lock.json"))
	if err2 != nil {
		return err2
	}
	if err != nil || installed.ModTime().Before(lock.ModTime()) {
		if err := run(ctx, node, "npm", "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"); err != nil {
			return err
		}
	}
	return os.Symlink(node, filepath.Join(dir, "node"))
}

func copyFile(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, fs.FileMode(0o644))
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(b)), nil
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, b)
	}
	return nil
}
