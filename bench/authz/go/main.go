// Command authz answers the same checks as src/authz with grpc-go, go-control-plane's generated
// messages, crypto/rsa and an LRU of verified tokens: what a careful Go service would be.
package main

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
)

type subject struct {
	Socket string
	Issuer struct {
		Issuer    string
		Audiences []string
		ClientIds []string
	}
}

type claims struct {
	Iss    string   `json:"iss"`
	Sub    string   `json:"sub"`
	Aud    string   `json:"aud"`
	Cid    string   `json:"cid"`
	Groups []string `json:"groups"`
	Exp    float64  `json:"exp"`
	Nbf    float64  `json:"nbf"`
}

type assignment struct{ uid, cluster, pin, token string }

type server struct {
	auth.UnimplementedAuthorizationServer
	subject  subject
	keys     map[string]*rsa.PublicKey
	tokens   *lru.Cache[string, *claims]
	mu       sync.RWMutex
	sessions map[string]*assignment
}

func (s *server) verify(token string) (*claims, error) {
	now := float64(time.Now().Unix())
	if known, ok := s.tokens.Get(token); ok {
		if known.Exp > now {
			return known, nil
		}
		s.tokens.Remove(token)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("malformed token")
	}
	var header struct{ Alg, Kid string }
	var found claims
	for i, into := range []any{&header, &found} {
		bytes, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(bytes, into); err != nil {
			return nil, err
		}
	}
	key := s.keys[header.Kid]
	if header.Alg != "RS256" || key == nil {
		return nil, errors.New("unknown key")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
		return nil, err
	}
	if found.Iss != s.subject.Issuer.Issuer || found.Aud != s.subject.Issuer.Audiences[0] ||
		found.Cid != s.subject.Issuer.ClientIds[0] || found.Exp <= now || found.Nbf > now {
		return nil, errors.New("claims refused")
	}
	s.tokens.Add(token, &found)
	return &found, nil
}

func stringField(message []byte, wanted protowire.Number) ([]byte, error) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		if number == wanted && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return nil, protowire.ParseError(n)
			}
			return value, nil
		}
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
	}
	return nil, errors.New("no such field")
}

func (s *server) Check(_ context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	httpRequest := request.GetAttributes().GetRequest().GetHttp()
	headers := httpRequest.GetHeaders()
	body := httpRequest.GetRawBody()
	if len(body) < 5 || body[0] != 0 {
		return deny(3, "no session id"), nil
	}
	length := int(binary.BigEndian.Uint32(body[1:5]))
	message := body[5:min(len(body), 5+length)]
	session, err := stringField(message, 1)
	if err != nil || len(session) != 36 {
		return deny(3, "no session id"), nil
	}
	userContext, err := stringField(message, 2)
	if err != nil {
		return deny(3, "no user"), nil
	}
	if _, err := stringField(userContext, 1); err != nil {
		return deny(3, "no user"), nil
	}
	team, environment := headers["x-doordash-team"], headers["x-doordash-environment"]
	credential := headers["authorization"]
	if strings.ContainsRune(team+environment+credential, ',') {
		return deny(3, "duplicate headers"), nil
	}
	caller, err := s.verify(strings.TrimPrefix(credential, "Bearer "))
	if err != nil {
		return deny(16, err.Error()), nil
	}
	may := false
	for _, group := range caller.Groups {
		may = may || group == team
	}
	if team == "" || environment == "" || !may {
		return deny(7, "namespace refused"), nil
	}
	id := string(session)
	s.mu.RLock()
	known := s.sessions[id]
	s.mu.RUnlock()
	namespace := "sjns-" + team + "-" + environment
	if known == nil {
		known = &assignment{"0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10", "spark/" + namespace,
			base64.StdEncoding.EncodeToString([]byte("10.1.2.3:15002")), "0123456789abcdef0123456789abcdef"}
		s.mu.Lock()
		s.sessions[id] = known
		s.mu.Unlock()
	}
	set := func(name, value string) *core.HeaderValueOption {
		return &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: name, Value: value},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	metadata := map[string]*structpb.Value{}
	for name, value := range map[string]string{"session": id, "principal": caller.Sub, "issuer": caller.Iss, "team": team,
		"environment": environment, "namespace": namespace, "driver": known.uid, "claimed_user": headers["x-doordash-user"]} {
		metadata[name] = structpb.NewStringValue(value)
	}
	return &auth.CheckResponse{
		Status: &status.Status{},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{Headers: []*core.HeaderValueOption{
			set("x-spark-cluster", known.cluster), set("x-spark-driver", known.uid+"_0"), set("x-spark-pin", known.pin),
			set("x-spark-principal", caller.Sub), set("x-spark-issuer", caller.Iss), set("x-spark-session", id),
			set("authorization", "Bearer "+known.token),
		}}},
		DynamicMetadata: &structpb.Struct{Fields: metadata},
	}, nil
}

func deny(code int32, message string) *auth.CheckResponse {
	return &auth.CheckResponse{
		Status: &status.Status{Code: code, Message: message},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status: &envoytype.HttpStatus{Code: envoytype.StatusCode_Forbidden},
		}},
	}
}

func fetchKeys(issuer string) (map[string]*rsa.PublicKey, error) {
	response, err := http.Get(issuer + "/keys")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		return nil, err
	}
	keys := map[string]*rsa.PublicKey{}
	for _, key := range set.Keys {
		n, _ := base64.RawURLEncoding.DecodeString(key.N)
		e, _ := base64.RawURLEncoding.DecodeString(key.E)
		keys[key.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return keys, nil
}

func main() {
	s := &server{sessions: map[string]*assignment{}}
	if err := json.Unmarshal([]byte(os.Args[1]), &s.subject); err != nil {
		log.Fatal(err)
	}
	var err error
	if s.keys, err = fetchKeys(s.subject.Issuer.Issuer); err != nil {
		log.Fatal(err)
	}
	if s.tokens, err = lru.New[string, *claims](10_000); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", s.subject.Socket)
	if err != nil {
		log.Fatal(err)
	}
	g := grpc.NewServer()
	auth.RegisterAuthorizationServer(g, s)
	fmt.Println("ready")
	log.Fatal(g.Serve(listener))
}
