package flatxml

import (
	"errors"
	"fmt"
)

// ErrMalformed is the error that all others of this package are (errors.Is), for
// callers to whom it does not matter why a document was refused. No error holds
// anything of the document.
var ErrMalformed = errors.New("flatxml: malformed document")

// One error for each way in which a document is refused. Append returns those
// whose sentence says so, and only those.
var (
	// ErrTooLarge means more than MaxBytes. Append returns it too.
	ErrTooLarge = refusal("larger than 64 KiB")
	// ErrTooManyElements means more than MaxElements. Append returns it too.
	ErrTooManyElements = refusal("more than 128 elements")
	// ErrDuplicate means two elements of one name. Append returns it too.
	ErrDuplicate = refusal("two elements of one name")
	// ErrInvalidUTF8 means bytes that are not UTF-8. Append returns it too.
	ErrInvalidUTF8 = refusal("not UTF-8")
	// ErrInvalidChar means a character that XML does not allow, NUL for one,
	// as it is or as a reference. Append returns it too.
	ErrInvalidChar = refusal("a character that XML does not allow")
	// ErrInvalidName means an element name that is not a letter or _ and then
	// letters, digits, _ . - of ASCII. Append returns it too.
	ErrInvalidName = refusal("an element name that is not plain ASCII")

	// ErrDeclaration means an XML declaration that names another version or
	// encoding than 1.0 and UTF-8, or that is not at the very start.
	ErrDeclaration = refusal("an XML declaration other than 1.0 and UTF-8 at the start")
	// ErrDoctype means a document type, and with it any entity or DTD.
	ErrDoctype = refusal("a document type")
	// ErrComment means a comment.
	ErrComment = refusal("a comment")
	// ErrProcInst means a processing instruction.
	ErrProcInst = refusal("a processing instruction")
	// ErrAttribute means an element with an attribute.
	ErrAttribute = refusal("an attribute")
	// ErrNested means an element inside an element of the document.
	ErrNested = refusal("an element inside an element")
	// ErrRoot means a root element that is not named xml.
	ErrRoot = refusal("a root element that is not xml")
	// ErrText means text where only white space may be: around the elements.
	// A byte order mark is text.
	ErrText = refusal("text outside the elements")
	// ErrTrailing means anything but white space after the root element.
	ErrTrailing = refusal("something after the root element")
	// ErrReference means & without one of the five entities of XML or a
	// numeric character reference.
	ErrReference = refusal("a reference that is not one of XML's own")
	// ErrSyntax means anything else that is not XML: an end that is missing,
	// tags that do not match, a bare ]]>.
	ErrSyntax = refusal("not well-formed")
)

func refusal(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }
