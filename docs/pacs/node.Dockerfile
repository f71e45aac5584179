# `python -m lgg_demo.dicom` in an image; the context is the repository's root.
FROM python:3.11-slim-bookworm AS installed
COPY requirements.txt .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.11-slim-bookworm
COPY --from=installed /opt/venv /opt/venv
WORKDIR /opt/lgg-demo
COPY weights weights
COPY lgg_demo lgg_demo
# A volume that is mounted at the spool for the first time takes this folder's owner over.
RUN useradd --system --uid 10001 --no-create-home lgg && install -d -o lgg -g lgg -m 700 /var/lib/lgg-demo
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER lgg
EXPOSE 11112
VOLUME /var/lib/lgg-demo
ENTRYPOINT ["python", "-m", "lgg_demo.dicom"]
CMD ["--help"]
