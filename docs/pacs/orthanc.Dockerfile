# The Orthanc that the tests run against, as Debian packages it.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o orthanc -g orthanc -m 700 /var/lib/orthanc
USER orthanc
EXPOSE 8042 4242
VOLUME /var/lib/orthanc
CMD ["Orthanc", "/etc/lgg-demo/orthanc.json"]
