// Command profiled is the functions with a CPU profile, written on SIGTERM to the
// file that PROFILE names.
package main

import (
	"log"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "example.com/gmailgrant"
)

func main() {
	f, err := os.Create(os.Getenv("PROFILE"))
	if err != nil {
		log.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(funcframework.Start(os.Getenv("PORT"))) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
}
