"""An application that imports what isn't there."""

import no_such_library  # noqa: F401
