// The client certificate as RFC 9440 section 2.2 writes it: its DER form in base64 between colons.
function clientCert(request) {
    const pem = request.variables.ssl_client_raw_cert;
    return pem ? ':' + pem.replace(/-----[^-]+-----|\s/g, '') + ':' : '';
}

export default { clientCert };
