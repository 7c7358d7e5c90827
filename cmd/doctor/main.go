// Command doctor says what is wrong with a deployment, and what to do about it:
//
//	go build -o doctor ./cmd/doctor && ./doctor -project my-project -region europe-west1
//
// It reads the settings of the deployed functions, then the secrets, the database
// and the enabled APIs, and asks the functions what a front end would. It changes
// nothing, except with -reseal, which seals every grant with the newest seal key.
// With -env the settings come from the environment, for functions that run
// elsewhere or are not deployed yet.
//
// Each check is a line: ok, note, warn or FAIL. The exit status is 0 if all is
// well, 1 after a warning, 2 after a failure; go run would make 1 of both.
//
// It uses Application Default Credentials: gcloud auth application-default login.
// The roles viewer and secretmanager.secretAccessor are enough; for -reseal,
// datastore.user too.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"

	"example.com/gmailgrant"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], surroundings{
		getenv:    os.Getenv,
		now:       time.Now,
		transport: http.DefaultTransport,
	}, os.Stdout))
}

// surroundings are what a doctor finds around itself.
type surroundings struct {
	getenv    func(string) string
	now       func() time.Time
	transport http.RoundTripper     // to the functions, as anybody reaches them
	google    []option.ClientOption // for Google's APIs over HTTP; none: Application Default Credentials
}

// A doctor examines one deployment.
type doctor struct {
	surroundings
	report
	project, region string

	variables map[string]string // the settings as they are deployed
	timeout   time.Duration     // of listmessages; 0: not known
	config    *gmailgrant.Config
	site      *site.Site
	store     *tokenstore.Store
	client    *tokenstore.Client // nil: not known
	http      *http.Client
}

type options struct {
	project, region string
	fromEnv, reseal bool
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.project, "project", "", "Google Cloud project `ID`")
	flags.StringVar(&o.region, "region", "", "`region` of the functions, like europe-west1")
	flags.BoolVar(&o.fromEnv, "env", false, "take the settings from the environment, not from the deployed functions")
	flags.BoolVar(&o.reseal, "reseal", false, "seal every grant with the newest version of the seal key")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is not understood", flags.Arg(0))
	case o.project == "":
		err = fmt.Errorf("-project is needed")
	case o.region == "" && !o.fromEnv:
		err = fmt.Errorf("-region is needed, or -env")
	}
	if err != nil {
		fmt.Fprintln(out, err)
		flags.Usage()
	}
	return o, err
}

// run examines, and returns the exit status.
func run(ctx context.Context, args []string, s surroundings, out io.Writer) int {
	o, err := parse(args, out)
	if err == flag.ErrHelp {
		return 0
	}
	if err != nil {
		return int(failed)
	}
	d := &doctor{surroundings: s, report: report{out: out}, project: o.project, region: o.region}
	d.http = &http.Client{
		Transport:     s.transport,
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	d.examine(ctx, o)
	return int(d.worst)
}

func (d *doctor) examine(ctx context.Context, o options) {
	if !d.hasCredentials(ctx) || !d.readSettings(ctx, o.fromEnv) {
		return
	}
	defer d.store.Close()
	d.checkSecrets(ctx)
	d.checkDatabase(ctx)
	d.checkGmail(ctx)
	d.checkFunctions(ctx)
	d.remind()
	if o.reseal {
		d.reseal(ctx)
	}
}

// hasCredentials: without them every other check would fail for the same reason.
func (d *doctor) hasCredentials(ctx context.Context) bool {
	if d.google != nil {
		return true
	}
	if _, err := google.FindDefaultCredentials(ctx, cloudPlatform); err != nil {
		d.fail("credentials", "there are none to look into Google Cloud with: run gcloud auth application-default login")
		return false
	}
	return true
}

// remind of what no API tells.
func (d *doctor) remind() {
	d.note("Testing", "while the app's publishing status at Google is Testing, grants of external users die after 7 days: https://console.cloud.google.com/auth/audience?project=%s", d.project)
	d.note("100 tokens", "an account has at most 100 refresh tokens of one client; the next one ends the oldest without a word, so ask for consent only where a problem does")
}
