package fakegoogle_test

import (
	"context"
	"hash/crc32"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"example.com/gmailgrant/internal/fakegoogle"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func accessSecret(t testing.TB, s *fakegoogle.Server, name, version string) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := secretmanager.NewClient(ctx, dialOptions(s.Addr())...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{
		Name: "projects/p/secrets/" + name + "/versions/" + version,
	})
}

func TestAccessSecretVersion(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	for want, payload := range []string{"one", "two", "three"} {
		if got := s.AddSecretVersion("key", []byte(payload)); got != want+1 {
			t.Errorf("version %d, want %d", got, want+1)
		}
	}
	s.SetSecretVersionEnabled("key", 1, false)
	s.AddSecretVersion("rolled-back", []byte("good"))
	s.AddSecretVersion("rolled-back", []byte("bad"))
	s.SetSecretVersionEnabled("rolled-back", 2, false)
	s.SetSecretVersionEnabled("rolled-back", 3, false)
	if !s.HasSecret("key") || s.HasSecret("other") {
		t.Error("HasSecret is wrong")
	}
	tests := []struct {
		name, version string
		code          codes.Code
		want          string // payload
		number        string
	}{
		{"key", "2", codes.OK, "two", "2"},
		{"key", "latest", codes.OK, "three", "3"},
		{"key", "1", codes.FailedPrecondition, "", ""},
		{"key", "4", codes.NotFound, "", ""},
		{"key", "0", codes.InvalidArgument, "", ""},
		{"key", "newest", codes.InvalidArgument, "", ""},
		{"other", "latest", codes.NotFound, "", ""},
		{"rolled-back", "latest", codes.FailedPrecondition, "", ""},
		{"rolled-back", "1", codes.OK, "good", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name+"/"+tt.version, func(t *testing.T) {
			got, err := accessSecret(t, s, tt.name, tt.version)
			if status.Code(err) != tt.code {
				t.Fatalf("error %v, want %s", err, tt.code)
			}
			if err != nil {
				return
			}
			sum := crc32.Checksum([]byte(tt.want), crc32.MakeTable(crc32.Castagnoli))
			if p := got.GetPayload(); string(p.GetData()) != tt.want || p.GetDataCrc32C() != int64(sum) {
				t.Errorf("payload %v", p)
			}
			if want := "projects/p/secrets/" + tt.name + "/versions/" + tt.number; got.GetName() != want {
				t.Errorf("name %s, want %s", got.GetName(), want)
			}
		})
	}
}
