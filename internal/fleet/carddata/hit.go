package carddata

// Kind is the sort of card data that was found.
type Kind string

// The kinds of card data. They are labels of counters and never change their spelling.
const (
	KindPAN      Kind = "pan"       // primary account number, ISO/IEC 7812
	KindTrack    Kind = "track"     // magnetic stripe track 1 or 2, ISO/IEC 7813, or track 3
	KindEMV      Kind = "emv"       // chip data with the PAN or track 2 equivalent, EMV Book 3 tags 5A, 57 and 9F6B
	KindPINBlock Kind = "pin_block" // PIN or PIN block, ISO 9564-1
	KindCVV      Kind = "cvv"       // card verification code: CVV2, CVC2, CVN2
)

// Hit says where card data was found and of which kind. It never contains the data: Field is the path of the value,
// such as net.iccid or items[].note, and a key that is long, odd or full of digits is written as "?" in it.
type Hit struct {
	Field string
	Kind  Kind
}
