package secrets

import (
	"context"
	"errors"

	"filippo.io/age"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
)

const ageType = sopsage.KeyTypeIdentifier

// ageService unwraps data keys for the SOPS library with identities that are at
// hand, and asks nobody else.
type ageService struct{ ids []identity }

var errOnlyAge = errors.New("only age keys are used here")

// Decrypt unwraps one data key.
func (s ageService) Decrypt(_ context.Context, in *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	k, ok := in.GetKey().GetKeyType().(*keyservice.Key_AgeKey)
	if !ok {
		return nil, errOnlyAge
	}
	master := &sopsage.MasterKey{Recipient: k.AgeKey.GetRecipient()}
	master.SetEncryptedDataKey(in.GetCiphertext())
	parsed := make(sopsage.ParsedIdentities, 0, len(s.ids))
	for _, id := range s.ids {
		parsed = append(parsed, age.Identity(id.age))
	}
	parsed.ApplyToMasterKey(master)
	plain, err := master.Decrypt()
	if err != nil {
		return nil, err
	}
	return &keyservice.DecryptResponse{Plaintext: plain}, nil
}

// Encrypt is not done here.
func (ageService) Encrypt(context.Context, *keyservice.EncryptRequest, ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	return nil, errors.New("this key service only opens")
}

// otherServices are all but age's, which ageService has.
type otherServices struct{ keyservice.LocalClient }

// Decrypt asks the service that the file names.
func (s otherServices) Decrypt(ctx context.Context, in *keyservice.DecryptRequest, opts ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	if _, ok := in.GetKey().GetKeyType().(*keyservice.Key_AgeKey); ok {
		return nil, errors.New("age keys are not looked for here")
	}
	return s.LocalClient.Decrypt(ctx, in, opts...)
}
