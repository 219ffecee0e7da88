#!/bin/bash
# Certificates for a Dask cluster of your own, readable by you alone, and the setting that makes Dask ask for them.
#   deploy/slurm/certificates.sh ~/.config/facescribe-dask
set -euo pipefail
folder=$1
umask 077
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
openssl req -x509 -newkey rsa:3072 -nodes -days 365 -subj /CN=facescribe-dask \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
cat > "$folder/security.yaml" <<END
distributed:
  comm:
    require-encryption: true
    tls:
      ca-file: $folder/cert.pem
      scheduler: {key: $folder/key.pem, cert: $folder/cert.pem}
      worker: {key: $folder/key.pem, cert: $folder/cert.pem}
      client: {key: $folder/key.pem, cert: $folder/cert.pem}
END
echo "export DASK_CONFIG=$folder"
