// Package seal encrypts and authenticates what this program hands to others
// to keep: the OAuth state, the hand-off code, the session, the stored grant.
//
// A sealed value is "VERSION.BASE64URL": the version of the seal key that made
// it, in decimal, then a random nonce and the ciphertext of XChaCha20-Poly1305.
// Purpose, version and owner are authenticated, the expiry is encrypted with
// the payload: a value made for one purpose or owner never opens for another.
package seal

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Purpose names what a sealed value is for. Each has a key of its own.
type Purpose string

// The four purposes. Keys of all but Grant are also derived from BASE_URL, so
// that a value of one environment never opens in another that shares the
// seal key.
const (
	State   Purpose = "state"
	HandOff Purpose = "hand-off"
	Session Purpose = "session"
	Grant   Purpose = "grant"
)

var purposes = []Purpose{State, HandOff, Session, Grant}

// MinKeyBytes is the shortest seal key that is accepted.
const MinKeyBytes = 32

var (
	// ErrNotOpened says that a value was not sealed by us for this purpose and
	// owner, or with a key version that is no longer enabled.
	ErrNotOpened = errors.New("seal: value does not open")
	// ErrExpired says that a value is genuine but its time is over.
	ErrExpired = errors.New("seal: value has expired")
)

// An Opened is the content of a sealed value.
type Opened struct {
	Payload []byte
	Expires time.Time // zero: never
	Version int64     // of the seal key that sealed it
	Newest  int64     // the newest seal key version known when it was opened
}

var encoding = base64.RawURLEncoding.Strict()

// Seal encrypts payload with the newest key. The value opens until expires
// (never ends if zero), for the same purpose and owner only. It also returns the
// version of the key.
func (r *Ring) Seal(ctx context.Context, p Purpose, expires time.Time, payload []byte, owner ...string) (value string, version int64, err error) {
	version, aead, err := r.newestKey(ctx, p)
	if err != nil {
		return "", 0, err
	}
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(payload)), unixOrZero(expires))
	plain = append(plain, payload...)

	box := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(box)
	box = aead.Seal(box, box, plain, additionalData(p, version, owner))
	return strconv.FormatInt(version, 10) + "." + encoding.EncodeToString(box), version, nil
}

// Open decrypts a value made by [Ring.Seal] for the same purpose and owner.
// With [ErrExpired] the content is returned too, since it is genuine. Any other
// error than ErrExpired and [ErrNotOpened] means that a key could not be had.
func (r *Ring) Open(ctx context.Context, p Purpose, value string, owner ...string) (Opened, error) {
	version, box, err := parse(value)
	if err != nil {
		return Opened{}, err
	}
	aead, newest, err := r.keyFor(ctx, p, version)
	if err != nil {
		return Opened{}, err
	}
	nonce, ciphertext := box[:aead.NonceSize()], box[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, ciphertext, additionalData(p, version, owner))
	if err != nil || len(plain) < 8 {
		return Opened{}, ErrNotOpened
	}
	o := Opened{Payload: plain[8:], Version: version, Newest: newest}
	if s := binary.BigEndian.Uint64(plain); s != 0 {
		o.Expires = time.Unix(int64(s), 0)
		if !r.now().Before(o.Expires) {
			return o, ErrExpired
		}
	}
	return o, nil
}

func unixOrZero(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}

// maxVersionDigits keeps a version within int64.
const maxVersionDigits = 15

func parse(value string) (version int64, box []byte, err error) {
	digits, body, ok := strings.Cut(value, ".")
	if !ok || len(digits) > maxVersionDigits {
		return 0, nil, ErrNotOpened
	}
	version, err = strconv.ParseInt(digits, 10, 64)
	if err != nil || version < 1 || strconv.FormatInt(version, 10) != digits {
		return 0, nil, ErrNotOpened
	}
	if strings.ContainsAny(body, "\r\n") { // encoding/base64 skips line breaks, even when strict
		return 0, nil, ErrNotOpened
	}
	box, err = encoding.DecodeString(body)
	if err != nil || len(box) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return 0, nil, ErrNotOpened
	}
	return version, box, nil
}

// additionalData joins purpose, version and owner so that no two different
// lists of strings give the same bytes: each is preceded by its length.
func additionalData(p Purpose, version int64, owner []string) []byte {
	ad := appendString(nil, string(p))
	ad = appendString(ad, strconv.FormatInt(version, 10))
	for _, s := range owner {
		ad = appendString(ad, s)
	}
	return ad
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// deriveKeys makes one AEAD a purpose from a seal key: HKDF-SHA-256 (RFC 5869),
// XChaCha20-Poly1305.
func deriveKeys(secret []byte, baseURL string) (map[Purpose]cipher.AEAD, error) {
	if len(secret) < MinKeyBytes {
		return nil, fmt.Errorf("seal: key of %d bytes, at least %d are needed", len(secret), MinKeyBytes)
	}
	keys := make(map[Purpose]cipher.AEAD, len(purposes))
	for _, p := range purposes {
		info := "gmailgrant " + string(p)
		if p != Grant {
			info += " " + baseURL
		}
		key, err := hkdf.Key(sha256.New, secret, nil, info, chacha20poly1305.KeySize)
		if err != nil {
			return nil, err
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, err
		}
		keys[p] = aead
	}
	return keys, nil
}
