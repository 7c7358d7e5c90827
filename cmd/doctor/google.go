package main

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/firestore/v1"
	"google.golang.org/api/serviceusage/v1"
)

// checkDatabase looks at the database of the grants, and at what deletes those
// whose time is over.
func (d *doctor) checkDatabase(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	service, err := firestore.NewService(ctx, d.api()...)
	if err != nil {
		d.fail("database", "no client of the Firestore API: %v", err)
		return
	}
	name := fmt.Sprintf("projects/%s/databases/%s", d.owner(), d.config.Database)
	database, err := service.Projects.Databases.Get(name).Context(ctx).Do()
	if err != nil {
		d.fail("database", "%s: %s", d.config.Database, cause(err, "deploy/deploy.sh makes it, or correct FIRESTORE_DATABASE"))
		return
	}
	if database.Type != "FIRESTORE_NATIVE" {
		d.fail("database", "%s is a %s database: make another, in native mode, and name it in FIRESTORE_DATABASE", d.config.Database, database.Type)
		return
	}
	d.ok("database", "%s is there, in native mode", d.config.Database)
	field, err := service.Projects.Databases.CollectionGroups.Fields.Get(name + "/collectionGroups/grants/fields/expires_at").Context(ctx).Do()
	d.checkTTL(field, err)
}

func (d *doctor) checkTTL(field *firestore.GoogleFirestoreAdminV1Field, err error) {
	command := fmt.Sprintf("gcloud firestore fields ttls update expires_at --collection-group=grants --enable-ttl --database='%s' --project=%s", d.config.Database, d.owner())
	switch {
	case err != nil:
		d.fail("TTL policy", "can't be read: %s", cause(err, command))
	case field.TtlConfig == nil:
		d.fail("TTL policy", "there is none, so that nothing deletes the grants of users who stay away: %s", command)
	case field.TtlConfig.State == "CREATING":
		d.note("TTL policy", "is being made, which takes Google some minutes")
	case field.TtlConfig.State != "ACTIVE":
		d.fail("TTL policy", "is %s: disable it, and enable it again: %s", field.TtlConfig.State, command)
	default:
		d.ok("TTL policy", "deletes grants after expires_at")
	}
}

// checkGmail looks into the project of the OAuth client, which need not be that
// of the functions: Google counts the calls there.
func (d *doctor) checkGmail(ctx context.Context) {
	project := d.project
	if d.client != nil {
		if number, _, ok := strings.Cut(d.client.ID, "-"); ok {
			project = number
		}
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	service, err := serviceusage.NewService(ctx, d.api()...)
	if err != nil {
		d.fail("Gmail API", "no client of the Service Usage API: %v", err)
		return
	}
	enable := "https://console.cloud.google.com/apis/library/gmail.googleapis.com?project=" + project
	gmail, err := service.Services.Get("projects/" + project + "/services/gmail.googleapis.com").Context(ctx).Do()
	switch {
	case err != nil:
		d.fail("Gmail API", "of the OAuth client's project, %s: %s", project, cause(err, "enable it at "+enable))
	case gmail.State != "ENABLED":
		d.fail("Gmail API", "is not enabled in the OAuth client's project, %s: %s", project, enable)
	default:
		d.ok("Gmail API", "is enabled in the OAuth client's project, %s", project)
	}
}
