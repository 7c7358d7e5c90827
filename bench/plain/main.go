// Command plain lists messages as one writes it at first with the official
// libraries: clients for each request, one call after another.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	"cloud.google.com/go/firestore"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/option"
)

func init() { functions.HTTP("listmessages", listMessages) }

func main() { log.Fatal(funcframework.Start(os.Getenv("PORT"))) }

// listMessages answers GET ?user=SUB&max=N, and with format=metadata what is in
// the messages. It trusts the caller to be that user.
func listMessages(w http.ResponseWriter, r *http.Request) {
	messages, err := list(r.Context(), r.FormValue("user"), r.FormValue("max"), r.FormValue("format"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"messages": messages}) // the caller left
}

func list(ctx context.Context, user, limit, format string) ([]*gmail.Message, error) {
	most, err := strconv.Atoi(limit)
	if err != nil {
		return nil, err
	}
	config, err := readClient(ctx)
	if err != nil {
		return nil, err
	}
	token, err := readToken(ctx, user)
	if err != nil {
		return nil, err
	}
	service, err := gmail.NewService(ctx, option.WithTokenSource(config.TokenSource(ctx, token)))
	if err != nil {
		return nil, err
	}
	messages, err := listIDs(ctx, service, most)
	if err != nil || format == "" {
		return messages, err
	}
	return details(ctx, service, messages, format)
}

func readClient(ctx context.Context) (*oauth2.Config, error) {
	client, err := secretmanager.NewClient(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	name := fmt.Sprintf("projects/%s/secrets/gmailgrant-client/versions/latest", os.Getenv("GOOGLE_CLOUD_PROJECT"))
	secret, err := client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: name})
	if err != nil {
		return nil, err
	}
	return google.ConfigFromJSON(secret.GetPayload().GetData(), gmail.GmailReadonlyScope)
}

func readToken(ctx context.Context, user string) (*oauth2.Token, error) {
	client, err := firestore.NewClient(ctx, os.Getenv("GOOGLE_CLOUD_PROJECT"))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	snapshot, err := client.Collection("tokens").Doc(user).Get(ctx)
	if err != nil {
		return nil, err
	}
	refreshToken, err := snapshot.DataAt("refresh_token")
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{RefreshToken: fmt.Sprint(refreshToken)}, nil
}

func listIDs(ctx context.Context, service *gmail.Service, most int) ([]*gmail.Message, error) {
	var messages []*gmail.Message
	call := service.Users.Messages.List("me").IncludeSpamTrash(true)
	for len(messages) < most {
		page, err := call.MaxResults(int64(min(100, most-len(messages)))).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		messages = append(messages, page.Messages...)
		if page.NextPageToken == "" {
			break
		}
		call.PageToken(page.NextPageToken)
	}
	return messages, nil
}

func details(ctx context.Context, service *gmail.Service, listed []*gmail.Message, format string) ([]*gmail.Message, error) {
	var messages []*gmail.Message
	for _, m := range listed {
		message, err := service.Users.Messages.Get("me", m.Id).Format(format).MetadataHeaders("From", "To", "Subject", "Date").Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}
