{{- define "facilitator.name" -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "facilitator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "facilitator.labels" -}}
{{ include "facilitator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "facilitator.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* The port of a listener in the configuration, which other pods have to reach: facilitator.port (list . "http") */}}
{{- define "facilitator.port" -}}
{{- $section := index . 1 -}}
{{- $config := fromToml (index . 0).Values.config -}}
{{- with $config.Error }}{{ fail (printf "config is not TOML: %s" .) }}{{ end -}}
{{- $listen := dig $section "listen" "" $config -}}
{{- if not (regexMatch "^(0\\.0\\.0\\.0|\\[::\\]):[0-9]+$" $listen) -}}
{{- fail (printf "config: expected [%s] listen at 0.0.0.0 or [::], so that other pods reach it" $section) -}}
{{- end -}}
{{- $listen | splitList ":" | last -}}
{{- end }}

{{/* What serve and migrate have in common. */}}
{{- define "facilitator.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "facilitator.container" -}}
image: {{ include "facilitator.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/facilitator
    readOnly: true
  - name: secrets
    mountPath: /run/secrets/facilitator
    readOnly: true
{{- end }}

{{/* facilitator.volumes (list . "name of the ConfigMap") */}}
{{- define "facilitator.volumes" -}}
- name: config
  configMap:
    name: {{ index . 1 }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range (index . 0).Values.secrets }}
      - secret:
          name: {{ . }}
      {{- end }}
{{- end }}

{{- define "facilitator.egress" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
- ports:
    - port: {{ .Values.networkPolicy.database.port }}
      protocol: TCP
  {{- with .Values.networkPolicy.database.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    - port: 443
      protocol: TCP
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        except: ["fc00::/7", "fe80::/10"]
{{- with .Values.networkPolicy.egress }}
{{ toYaml . }}
{{- end }}
{{- end }}
