package main

// Citadel's place: a key and a certificate for each service account, in the Secret that the others' pods mount. Galley,
// the sidecar injector and Prometheus cannot start before theirs are there.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"runbook/incluster"
)

type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]any    `json:"metadata"`
	Type       string            `json:"type"`
	Data       map[string][]byte `json:"data"`
}

func newSecret(name, kind string, annotations map[string]string, data map[string][]byte) secret {
	return secret{"v1", "Secret", map[string]any{"name": name, "annotations": annotations}, kind, data}
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority() (*authority, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	about := template("cluster.local", 10*365*24*time.Hour)
	about.IsCA, about.BasicConstraintsValid, about.KeyUsage = true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	secretKey, err := encodedKey(key)
	if err != nil {
		return nil, nil, err
	}
	return &authority{about, key, encoded("CERTIFICATE", raw)}, secretKey, nil
}

func template(organization string, valid time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{Organization: []string{organization}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(valid)}
}

func encoded(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

func encodedKey(key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalECPrivateKey(key)
	return encoded("EC PRIVATE KEY", raw), err
}

// forAccount makes what the Secret of a service account holds. The name of the Service that goes with it is in the
// certificate: istio-galley-service-account has istio-galley's.
func (a *authority) forAccount(namespace, account string) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	about := template("", 90*24*time.Hour)
	service := strings.TrimSuffix(account, "-service-account") + "." + namespace
	about.DNSNames = []string{service + ".svc", service}
	about.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/" + namespace + "/sa/" + account}}
	about.KeyUsage = x509.KeyUsageDigitalSignature
	about.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	raw, err := x509.CreateCertificate(rand.Reader, about, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	secretKey, err := encodedKey(key)
	return map[string][]byte{"cert-chain.pem": encoded("CERTIFICATE", raw), "key.pem": secretKey, "root-cert.pem": a.pem}, err
}

// keptAuthority is the one of the Secret istio-ca-secret, made when there is none.
func keptAuthority(ctx context.Context, client *incluster.Client, namespace string) (*authority, error) {
	path := "/api/v1/namespaces/" + namespace + "/secrets"
	var kept secret
	err := client.Do(ctx, http.MethodGet, path+"/istio-ca-secret", nil, &kept)
	if err == nil {
		return readAuthority(kept.Data)
	}
	if !incluster.Refused(err, http.StatusNotFound) {
		return nil, err
	}
	made, key, err := newAuthority()
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{"ca-cert.pem": made.pem, "ca-key.pem": key}
	return made, client.Do(ctx, http.MethodPost, path, newSecret("istio-ca-secret", "istio.io/ca-root", nil, data), nil)
}

func readAuthority(data map[string][]byte) (*authority, error) {
	certificate, _ := pem.Decode(data["ca-cert.pem"])
	key, _ := pem.Decode(data["ca-key.pem"])
	if certificate == nil || key == nil {
		return nil, os.ErrInvalid
	}
	about, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return nil, err
	}
	secretKey, err := x509.ParseECPrivateKey(key.Bytes)
	return &authority{about, secretKey, data["ca-cert.pem"]}, err
}

// citadel makes a Secret for each service account of the cluster, as long as it runs.
func citadel(stop context.Context) {
	client, err := incluster.Open()
	if err != nil {
		log.Fatal(err)
	}
	ca, err := keptAuthority(stop, client, "istio-system")
	if err != nil {
		log.Fatalf("istio-ca-secret: %v", err)
	}
	told := func(event incluster.Event) {
		var account object[struct{}]
		if event.Type == "DELETED" || json.Unmarshal(event.Object, &account) != nil {
			return
		}
		if err := ca.keep(stop, client, account.Metadata); err != nil {
			log.Printf("istio.%s of %s: %v", account.Metadata.Name, account.Metadata.Namespace, err)
		}
	}
	client.Follow(stop, "/api/v1/serviceaccounts", told, func(err error) { log.Print(err) })
}

// keep makes the Secret of one service account, unless it is there.
func (a *authority) keep(ctx context.Context, client *incluster.Client, account meta) error {
	name, path := "istio."+account.Name, "/api/v1/namespaces/"+account.Namespace+"/secrets"
	if err := client.Do(ctx, http.MethodGet, path+"/"+name, nil, nil); !incluster.Refused(err, http.StatusNotFound) {
		return err
	}
	data, err := a.forAccount(account.Namespace, account.Name)
	if err != nil {
		return err
	}
	of := map[string]string{"istio.io/service-account.name": account.Name}
	err = client.Do(ctx, http.MethodPost, path, newSecret(name, "istio.io/key-and-cert", of, data), nil)
	if incluster.Refused(err, http.StatusConflict) {
		return nil
	}
	return err
}
