//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// googleHosts are what the stub answers for.
var googleHosts = []string{
	"accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com",
	"gmail.googleapis.com", "firestore.googleapis.com", "secretmanager.googleapis.com",
}

// systemRoots is where Debian has the roots that a function trusts: reading them
// takes time, which is measured too.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// makeCertificates writes an authority of our own to ca.pem, the same after the
// machine's roots to roots.pem, and the stub's certificate to cert.pem and key.pem.
func makeCertificates(dir string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	from, to := time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 1)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gmailgrant bench"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the stub"}, NotBefore: from, NotAfter: to,
		DNSNames: googleHosts, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	roots, err := os.ReadFile(systemRoots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "ca.pem"), caPEM, 0o644),
		os.WriteFile(filepath.Join(dir, "roots.pem"), append(roots, caPEM...), 0o644),
		os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
	)
}
