package fakegoogle

import (
	"context"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// secretVersionName is the resource name of a secret version. Any project is
// accepted.
var secretVersionName = regexp.MustCompile(`^projects/([^/]+)/secrets/([A-Za-z0-9_-]{1,255})/versions/(latest|[1-9][0-9]{0,8})$`)

type secretManager struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer
	server *Server
}

func registerSecretManager(rpc *grpc.Server, s *Server) {
	secretmanagerpb.RegisterSecretManagerServiceServer(rpc, &secretManager{server: s})
}

// AccessSecretVersion answers a payload. "latest" is the version created last,
// whether enabled or not.
func (m *secretManager) AccessSecretVersion(_ context.Context, req *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	match := secretVersionName.FindStringSubmatch(req.GetName())
	if match == nil {
		return nil, status.Errorf(codes.InvalidArgument, "The provided Secret Version ID [%s] does not match the expected format [projects/*/secrets/*/versions/*]", req.GetName())
	}
	project, name := match[1], match[2]
	v, number, err := m.server.vault.secretVersion(name, match[3])
	if err != nil {
		return nil, err
	}
	m.server.leaks.add(string(v.Payload))
	return &secretmanagerpb.AccessSecretVersionResponse{
		Name: fmt.Sprintf("projects/%s/secrets/%s/versions/%d", project, name, number),
		Payload: &secretmanagerpb.SecretPayload{
			Data:       v.Payload,
			DataCrc32C: proto.Int64(int64(crc32.Checksum(v.Payload, crc32.MakeTable(crc32.Castagnoli)))),
		},
	}, nil
}

func (v *vault) secretVersion(name, version string) (secretVersion, int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	versions := v.secrets[name]
	if len(versions) == 0 {
		return secretVersion{}, 0, status.Errorf(codes.NotFound, "Secret [%s] not found or has no versions.", name)
	}
	number := len(versions)
	if version != "latest" {
		number, _ = strconv.Atoi(version) // digits only, by secretVersionName
	}
	if number > len(versions) {
		return secretVersion{}, 0, status.Errorf(codes.NotFound, "Secret Version [%s/versions/%s] not found.", name, version)
	}
	if versions[number-1].Disabled {
		return secretVersion{}, 0, status.Errorf(codes.FailedPrecondition, "Secret Version [%s/versions/%d] is in DISABLED state.", name, number)
	}
	return versions[number-1], number, nil
}

// AddSecretVersion adds a version to the secret, which need not exist, and
// returns its number: 1, 2, …
func (s *Server) AddSecretVersion(name string, payload []byte) (version int) {
	v := s.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[name] = append(v.secrets[name], secretVersion{Payload: slices.Clone(payload)})
	v.saveLocked() // a failure is reported by Close
	return len(v.secrets[name])
}

// SetSecretVersionEnabled enables or disables a version. One that doesn't exist
// is ignored.
func (s *Server) SetSecretVersionEnabled(name string, version int, enabled bool) {
	v := s.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	if version < 1 || version > len(v.secrets[name]) {
		return
	}
	v.secrets[name][version-1].Disabled = !enabled
	v.saveLocked() // a failure is reported by Close
}

// HasSecret says whether the secret has a version.
func (s *Server) HasSecret(name string) bool {
	s.vault.mu.Lock()
	defer s.vault.mu.Unlock()
	return len(s.vault.secrets[name]) > 0
}
