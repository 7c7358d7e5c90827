package main

import (
	"cmp"
	"fmt"
	"strings"
)

// banner says what runs, where it is and what to try.
func banner(p place, g *google, getenv func(string) string) string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	b.WriteString("\ngmailgrant on this machine\n\n")
	for _, v := range describeGoogle(g, getenv) {
		line(v.name, v.value)
	}
	b.WriteString("\n")
	line("Demo page", p.page())
	line("Functions", p.function("authurl"))
	line("", p.function("callback"))
	line("", p.function("listmessages"))
	line("Front ends", strings.Join(allowedOrigins(p, getenv("ALLOWED_ORIGINS")), " "))
	b.WriteString("\nTry\n\n")
	fmt.Fprintf(&b, "  curl -s '%[1]s' # where consent is asked; to go there, open %[1]s in a browser\n", p.function("authurl"))
	fmt.Fprintf(&b, "  curl -i '%s'\n", p.function("listmessages"))
	b.WriteString("\nCtrl-C stops everything.\n\n")
	return b.String()
}

// describeGoogle names what is real, what is not, and what outlives the process.
func describeGoogle(g *google, getenv func(string) string) []setting {
	signIn := "a stand-in at " + g.URL() + ". It is NOT Google: the people and their mail are made up"
	if g.real {
		signIn = "real: your own account signs in, your own mail is read"
	}
	lines := []setting{{"Google", signIn}, {"Data", describeData(g)}}
	for _, v := range []setting{
		{"FIRESTORE_EMULATOR_HOST", "Firestore"},
		{"SECRET_MANAGER_EMULATOR_HOST", "Secrets"},
		{"GMAIL_EMULATOR_HOST", "Gmail"},
	} {
		if address := getenv(v.name); address != "" {
			lines = append(lines, setting{v.value, "at " + address + ", as " + v.name + " says"})
		}
	}
	return lines
}

func describeData(g *google) string {
	return cmp.Or(g.data, "in memory, gone when this command ends")
}
