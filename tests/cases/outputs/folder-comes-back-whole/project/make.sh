#!/bin/sh
mkdir -p tree/sub tree/empty/deep
printf '#!/bin/sh\necho runs\n' > tree/sub/run && chmod +x tree/sub/run
echo data > tree/file && ln -s file tree/link && ln -s nowhere tree/broken && touch tree/zero
