// Package deploy has the tests of deploy.sh and teardown.sh, which run the real
// gcloud against a stand-in on this machine: go test -tags gcloud ./deploy
package deploy
